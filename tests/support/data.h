#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "attend/data/catalogue.h"

namespace attend::test {

/// Makes ATTEND_DATA name the shared data beside the source tree, where it is not set: the program
/// itself looks nowhere but there. Says whether the set `name` of the catalogue is on this machine.
inline bool has_set(const std::string& name) {
  if (const char* source = std::getenv("ATTEND_SOURCE"))
    ::setenv("ATTEND_DATA", (std::string(source) + "/../shared/data").c_str(), 0);
  return data::find_folder(*data::find_set(name)).has_value();
}

}  // namespace attend::test

/// Skips the test, with a sentence, where the catalogue's set `name` is not on this machine.
#define ATTEND_SET_OR_SKIP(name)    \
  if (!attend::test::has_set(name)) \
  GTEST_SKIP() << "no " << (name) << ": set ATTEND_DATA to a folder that holds it"
