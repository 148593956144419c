#include "data/gzip.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "attend/base/error.h"

namespace attend::data {
namespace {

[[noreturn]] void fail_gzip(archive* reader, const std::string& path) {
  const char* why = archive_error_string(reader);
  fail_input(path + ": damaged gzip file: " + (why == nullptr ? "cut short" : why));
}

}  // namespace

ByteSource bytes_of_gzip_file(const std::string& path) {
  ByteSource packed = bytes_of_file(path);  // for its message when there is no such file
  const std::shared_ptr<archive> reader(archive_read_new(), &archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  char first[2] = {};
  if (packed(first, 2) != 2 || first[0] != '\x1f' || first[1] != '\x8b')
    fail_input(path + ": not a gzip file, though its name ends in .gz");
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK)
    fail_gzip(reader.get(), path);
  const int code = archive_read_next_header(reader.get(), &entry);
  if (code == ARCHIVE_EOF) return [](char*, std::size_t) { return std::size_t{0}; };  // empty
  if (code != ARCHIVE_OK) fail_gzip(reader.get(), path);
  return [reader, path](char* into, std::size_t n) {
    const auto got = archive_read_data(reader.get(), into, n);
    if (got < 0) fail_gzip(reader.get(), path);
    return static_cast<std::size_t>(got);
  };
}

ByteSource bytes_of_any_file(const std::string& path) {
  return path.ends_with(".gz") ? bytes_of_gzip_file(path) : bytes_of_file(path);
}

}  // namespace attend::data
