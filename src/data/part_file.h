#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace attend::data {

/// PATH.part, which gathers a download, and PATH.part.tag, which says what it is a part of (URL,
/// then ETag or date).
class PartFile {
 public:
  PartFile(std::string path, std::string url);
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  ~PartFile();

  std::int64_t size() const { return size_; }
  /// What If-Range takes; "" when the server gave nothing that can be trusted, and the part is
  /// started anew.
  const std::string& validator() const { return validator_; }

  void restart(const std::string& validator);  // empties it
  void append(std::string_view bytes);         // throws kIo, as on a full disk
  void finish();                               // fsync, rename to PATH, remove the tag
  void discard();                              // remove both
  std::string sha256();

 private:
  void open();
  std::string path_, url_, validator_;
  std::int64_t size_ = 0;
  int fd_ = -1;
};

}  // namespace attend::data
