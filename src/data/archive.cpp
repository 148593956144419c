#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <memory>

#include "attend/base/error.h"

namespace attend::data {
namespace {

constexpr std::size_t kRatioFrom =
    1 << 20;  // tiny archives may unpack to this much whatever the ratio

bool is_safe(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.find('\\') != std::string::npos) return false;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (path.compare(start, end - start, "..") == 0) return false;
    start = end + 1;
  }
  return true;
}

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name, const ArchiveLimits& limits)
      : archive_(archive_read_new(), &archive_read_free), name_(name) {
    const std::size_t by_ratio = std::max(kRatioFrom, bytes.size() * limits.most_ratio);
    room_ = std::min(limits.most_bytes, by_ratio);
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_zip(archive_.get());
    if (archive_read_open_memory(archive_.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
      fail_damaged();
  }

  bool next(archive_entry*& entry) {
    const int code = archive_read_next_header(archive_.get(), &entry);
    if (code == ARCHIVE_EOF) return false;
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) fail_damaged();
    return true;
  }

  /// All bytes of the present member; those not kept count as well.
  std::string bytes(bool keep) {
    std::string out;
    std::array<char, 1 << 15> block;
    for (;;) {
      const auto n = archive_read_data(archive_.get(), block.data(), block.size());
      if (n < 0) fail_damaged();
      if (n == 0) return out;
      const auto size = static_cast<std::size_t>(n);
      if (size > room_)
        fail_input(name_ + ": unpacks to more than it may; not the archive expected");
      room_ -= size;
      if (keep) out.append(block.data(), size);
    }
  }

 private:
  [[noreturn]] void fail_damaged() {
    const char* why = archive_error_string(archive_.get());
    fail_input(name_ + ": damaged archive: " + (why == nullptr ? "unknown kind" : why));
  }
  std::unique_ptr<archive, decltype(&archive_read_free)> archive_;
  const std::string& name_;
  std::size_t room_ = 0;
};

}  // namespace

std::map<std::string, std::string> unpack(std::string_view bytes, const std::string& name,
                                          const std::function<bool(const std::string&)>& wanted,
                                          const ArchiveLimits& limits) {
  Reader reader(bytes, name, limits);
  std::map<std::string, std::string> out;
  archive_entry* entry = nullptr;
  for (std::size_t members = 0; reader.next(entry); ++members) {
    if (members == limits.most_members) fail_input(name + ": too many members in this archive");
    const char* text = archive_entry_pathname(entry);
    const std::string path = text == nullptr ? "" : text;
    const bool is_file = archive_entry_filetype(entry) == AE_IFREG &&
                         archive_entry_hardlink(entry) == nullptr &&
                         archive_entry_symlink(entry) == nullptr;
    const bool keep = is_file && is_safe(path) && wanted(path);
    std::string content = reader.bytes(keep);
    if (keep && !out.emplace(path, std::move(content)).second)
      fail_input(name + ": the member " + path + " occurs twice");
  }
  return out;
}

}  // namespace attend::data
