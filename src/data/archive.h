#pragma once
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace attend::data {

struct ArchiveLimits {
  std::size_t most_bytes = std::size_t{256} << 20;  // unpacked, of all members together
  std::size_t most_ratio = 200;                     // unpacked to packed
  std::size_t most_members = 10000;
};

/// The regular files of a tar(.gz) or zip in memory whose path (as written in the archive) `wanted`
/// accepts, by that path. Links, devices, absolute paths and paths with ".." are never accepted;
/// nothing is written to disk. Throws kBadInput, naming `name`, when the archive is damaged or over
/// a limit.
std::map<std::string, std::string> unpack(std::string_view archive, const std::string& name,
                                          const std::function<bool(const std::string&)>& wanted,
                                          const ArchiveLimits& limits = {});

}  // namespace attend::data
