#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace attend::test {

/// The path of a file or folder of the shared data, looked for under every folder of ATTEND_DATA (a
/// ':' list), then under ${ATTEND_SOURCE}/../shared/data; "" when it is nowhere.
inline std::string find_data(const std::string& name) {
  std::string list;
  if (const char* data = std::getenv("ATTEND_DATA")) list = data;
  if (const char* source = std::getenv("ATTEND_SOURCE"))
    list += ":" + std::string(source) + "/../shared/data";
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t to = std::min(list.find(':', from), list.size());
    const auto path = std::filesystem::path(list.substr(from, to - from)) / name;
    if (to > from && std::filesystem::exists(path)) return path.string();
    from = to + 1;
  }
  return "";
}

}  // namespace attend::test

/// Sets `path` to the shared data's `name`, or skips the test with a sentence.
#define ATTEND_DATA_OR_SKIP(path, name)                   \
  const std::string path = attend::test::find_data(name); \
  if (path.empty())                                       \
  GTEST_SKIP() << "needs " << name << " in a folder of ATTEND_DATA, which is not there"
