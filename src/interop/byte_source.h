#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace attend::interop {

/// Bytes at known places: a file read piece by piece, or a string. Never maps a file into memory:
/// another process may shorten it meanwhile, which would be a signal instead of an error.
class ByteSource {
 public:
  explicit ByteSource(std::string_view bytes) : bytes_(bytes), size_(bytes.size()) {}
  /// Throws kIo when `path` is not a regular file that can be opened.
  explicit ByteSource(const std::string& path);
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  ~ByteSource() { close(); }

  std::uint64_t size() const { return size_; }
  /// Copies n bytes; offset + n ≤ size(). Throws kIo.
  void read(std::uint64_t offset, std::uint64_t n, void* to) const;

 private:
  void close();

  std::string path_;
  std::string_view bytes_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace attend::interop
