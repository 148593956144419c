#include "train/feature_cache.h"

#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/catalogue.h"

namespace attend::train {
namespace {

constexpr std::int64_t kFeatureRows = 32;  // images whose features are computed at once

std::size_t bytes_of(const CachedFeatures& f) {
  return static_cast<std::size_t>(f.images * f.places * f.width) * sizeof(float);
}

/// The only header that a file of these features has: what differs from it is another file, or none.
std::string header_of(const CachedFeatures& f) {
  std::string json = R"({"__metadata__":{"format":"pt","key":")" + f.key +
                     R"("},"annotations":{"dtype":"F32","shape":[)" + std::to_string(f.images) +
                     "," + std::to_string(f.places) + "," + std::to_string(f.width) +
                     R"(],"data_offsets":[0,)" + std::to_string(bytes_of(f)) + "]}}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const std::uint64_t n = json.size();
  return std::string(reinterpret_cast<const char*>(&n), sizeof n) + json;
}

/// The tensor of a whole file of these features; undefined for anything else.
at::Tensor mapped(const CachedFeatures& f, const std::string& path) {
  const std::string header = header_of(f);
  const std::size_t size = header.size() + bytes_of(f);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  struct stat info {};
  void* bytes = MAP_FAILED;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
      static_cast<std::size_t>(info.st_size) == size)
    bytes = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (bytes == MAP_FAILED) return {};
  const auto let_go = [bytes, size](void*) { ::munmap(bytes, size); };
  if (std::string_view(static_cast<const char*>(bytes), header.size()) != header) {
    let_go(nullptr);
    return {};
  }
  return at::from_blob(static_cast<char*>(bytes) + header.size(), {f.images, f.places, f.width},
                       let_go, at::TensorOptions().dtype(at::kFloat));
}

}  // namespace

at::Tensor mapped_features(const CachedFeatures& features, const std::string& folder) {
  const std::string path = folder + "/" + features.key + ".safetensors";
  if (const at::Tensor there = mapped(features, path); there.defined()) return there;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_io(folder + ": cannot make this folder: " + error.message());
  AtomicFile file(path);
  file.write(header_of(features));
  for (std::int64_t begin = 0; begin < features.images; begin += kFeatureRows) {
    const at::Tensor rows =
        features.compute(begin, std::min(features.images, begin + kFeatureRows)).contiguous();
    file.write({static_cast<const char*>(rows.const_data_ptr()), rows.nbytes()});
  }
  file.commit();
  const at::Tensor made = mapped(features, path);
  if (!made.defined()) fail_io(path + ": cannot be read as it was written");
  return made;
}

std::string feature_folder() { return data::cache_folder() + "/features"; }

}  // namespace attend::train
