#pragma once
#include <cstdint>
#include <string>

#include "attend/data/catalogue.h"

namespace attend::data {

struct DownloadOptions {
  int tries = 5;      // attempts that bring no new byte before giving up
  int wait_ms = 500;  // before the second attempt, then doubled
  int connect_s = 15;
  int stall_s = 30;  // this long below 1 byte/s ends an attempt
  std::int64_t most_bytes = std::int64_t{1} << 30;
};

/// Fetches `url` to `path`. Bytes gather in PATH.part (its validator in PATH.part.tag) and an
/// interrupted download goes on with Range and If-Range, in this call or a later one; what is
/// complete is checked against `sha256` and renamed. Bytes that do not match are thrown away and
/// fetched once more from the start. Throws kIo when the server cannot be reached or refuses,
/// kBadInput when the SHA-256 is wrong twice. An empty `sha256` leaves the check to the caller, who
/// knows the sums of what is inside.
void download(const std::string& url, const std::string& path, const std::string& sha256,
              const Progress& progress = {}, const DownloadOptions& options = {});

}  // namespace attend::data
