#pragma once
#include <string>
#include <string_view>

namespace attend {

/// The whole file as bytes. Throws kIo when it cannot be read, naming path and reason.
std::string read_file(const std::string& path);

/// Replaces `path` by `bytes` so that a reader (or a crash) sees the old file or the new one, never a part: temporary file
/// in the same folder, write, fsync, rename, fsync of the folder. On failure the temporary file is removed and kIo thrown.
void write_file_atomically(const std::string& path, std::string_view bytes);

/// The same piece by piece, for what should not be in memory at once: the file appears at commit(), and without it nothing is
/// left. Each call throws kIo.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes);
  void commit();

 private:
  const std::string path_, temporary_;
  int fd_ = -1;
};

/// Lower-case hexadecimal SHA-256.
std::string sha256(std::string_view bytes);
std::string sha256_of_file(const std::string& path);

}  // namespace attend
