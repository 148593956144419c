#include "attend/interop/safetensors.h"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <set>

#include "attend/base/error.h"
#include "interop/safetensors_header.h"

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

namespace attend::interop {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;

struct DtypeName {
  const char* name;
  at::ScalarType type;
  std::uint64_t bytes;
};

/// In the order in which the safetensors package writes them.
constexpr std::array<DtypeName, 10> kDtypes{{{"I64", at::kLong, 8},
                                             {"F64", at::kDouble, 8},
                                             {"F32", at::kFloat, 4},
                                             {"I32", at::kInt, 4},
                                             {"BF16", at::kBFloat16, 2},
                                             {"F16", at::kHalf, 2},
                                             {"I16", at::kShort, 2},
                                             {"I8", at::kChar, 1},
                                             {"U8", at::kByte, 1},
                                             {"BOOL", at::kBool, 1}}};

/// Bytes at known places: a file read piece by piece, or a string. Never maps a file into memory: another
/// process may shorten it meanwhile, which would be a signal instead of an error.
class Source {
 public:
  explicit Source(std::string_view bytes) : bytes_(bytes), size_(bytes.size()) {}
  explicit Source(const std::string& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info {};
    if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
      const std::string reason = std::strerror(errno);
      close();
      fail_io(path + ": cannot open: " + reason);
    }
    if (!S_ISREG(info.st_mode)) {
      close();
      fail_io(path + ": not a regular file");
    }
    size_ = static_cast<std::uint64_t>(info.st_size);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() { close(); }

  std::uint64_t size() const { return size_; }

  /// offset + n ≤ size().
  void read(std::uint64_t offset, std::uint64_t n, void* to) const {
    if (fd_ < 0) {
      if (n > 0) std::memcpy(to, bytes_.data() + offset, n);
      return;
    }
    auto* out = static_cast<char*>(to);
    while (n > 0) {
      const ssize_t got = ::pread(fd_, out, n, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_io(path_ + ": cannot read: " + std::strerror(errno));
      if (got == 0) fail_io(path_ + ": became shorter while it was read");
      out += got;
      offset += static_cast<std::uint64_t>(got);
      n -= static_cast<std::uint64_t>(got);
    }
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  std::string path_;
  std::string_view bytes_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

void refuse_other_formats(std::string_view start, const std::string& where) {
  const char* format = nullptr;
  if (start.substr(0, 4) == "PK\x03\x04") format = "a zip archive (a PyTorch or .keras file?)";
  // A header of 640 bytes begins with 80 02 too, but its length then ends in zeros.
  const bool length = start.size() == 8 && start.substr(4) == std::string_view("\0\0\0\0", 4);
  if (!length && start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5)
    format = "a Python pickle, which can run code when it is read";
  if (start.substr(0, 4) == "\x89HDF") format = "an HDF5 file";
  if (start.substr(0, 4) == "GGUF") format = "a GGUF file";
  if (format)
    fail_input(where + "this is " + format +
               ", not safetensors; where it came from, save it with safetensors.torch.save_file");
}

const DtypeName& dtype_of(const TensorEntry& e, const std::string& where) {
  for (const DtypeName& d : kDtypes)
    if (e.dtype == d.name) return d;
  fail_input(where + "dtype \"" + shown(e.dtype) +
             "\" is not one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL");
}

/// The number of bytes that dtype and shape ask for; every product is checked, zeros counted as ones so
/// that strides can't overflow either.
std::uint64_t bytes_of(const TensorEntry& e, const DtypeName& dtype, const std::string& where) {
  std::uint64_t bound = dtype.bytes, bytes = dtype.bytes;
  for (const std::uint64_t n : e.shape) {
    if (__builtin_mul_overflow(bound, std::max<std::uint64_t>(n, 1), &bound) || bound >> 63 != 0)
      fail_input(where + "the size of its shape overflows 63 bits");
    bytes *= n;
  }
  return bytes;
}

/// Offsets, in order, must start at 0, touch each other and end with the file.
void check_cover(const std::vector<TensorEntry>& entries, std::uint64_t data,
                 const std::string& where) {
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& e : entries) order.push_back(&e);
  std::stable_sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return a->offsets < b->offsets;
  });
  std::uint64_t at = 0;
  for (const TensorEntry* e : order) {
    const std::string of = where + "tensor \"" + shown(e->name) + "\": ";
    if (e->offsets[0] != at)
      fail_input(of + "data_offsets start at " + std::to_string(e->offsets[0]) + ", expected " +
                 std::to_string(at) + " (tensors must neither overlap nor leave a hole)");
    at = e->offsets[1];
  }
  if (at != data)
    fail_input(where + "tensors end at byte " + std::to_string(at) + " of the data, which has " +
               std::to_string(data) + " (cut off, or something appended)");
}

at::Tensor load(const TensorEntry& e, const DtypeName& dtype, const Source& source,
                std::uint64_t data, const std::string& where) {
  const std::vector<std::int64_t> shape(e.shape.begin(), e.shape.end());
  at::Tensor x;
  try {
    x = at::empty(shape, at::TensorOptions().dtype(dtype.type));
  } catch (const c10::Error&) {
    throw Error(ErrorKind::kFailure, where + "not enough memory for " +
                                         std::to_string(e.offsets[1] - e.offsets[0]) + " bytes");
  }
  const std::uint64_t bytes = e.offsets[1] - e.offsets[0];
  source.read(data + e.offsets[0], bytes, x.data_ptr());
  if (dtype.type == at::kBool) {
    const auto* p = static_cast<const unsigned char*>(x.data_ptr());
    if (std::any_of(p, p + bytes, [](unsigned char c) { return c > 1; }))
      fail_input(where + "a BOOL byte is neither 0 nor 1");
  }
  return x;
}

SafetensorsFile read(const Source& source, const std::string& name) {
  const std::string where = name + ": ";
  std::array<char, 8> prefix{};
  const std::uint64_t start = std::min<std::uint64_t>(source.size(), prefix.size());
  source.read(0, start, prefix.data());
  refuse_other_formats(std::string_view(prefix.data(), start), where);
  if (source.size() < 8)
    fail_input(where + "only " + std::to_string(source.size()) +
               " bytes: a safetensors file starts with an 8-byte length");
  std::uint64_t n = 0;
  std::memcpy(&n, prefix.data(), 8);
  if (n > kMaxHeader)
    fail_input(where + "the header's length is " + std::to_string(n) +
               ", more than the 100000000 allowed: not a safetensors file?");
  if (n > source.size() - 8)
    fail_input(where + "the header's length is " + std::to_string(n) + " but only " +
               std::to_string(source.size() - 8) + " bytes follow: cut off?");
  std::string json(n, '\0');
  source.read(8, n, json.data());
  SafetensorsHeader header = parse_header(json, where);

  const std::uint64_t data = source.size() - 8 - n;
  std::vector<const DtypeName*> dtypes;
  for (const TensorEntry& e : header.entries) {  // all rules first, then all allocations
    const std::string of = where + "tensor \"" + shown(e.name) + "\": ";
    dtypes.push_back(&dtype_of(e, of));
    const std::uint64_t bytes = bytes_of(e, *dtypes.back(), of);
    if (e.offsets[0] > e.offsets[1] || e.offsets[1] > data)
      fail_input(of + "data_offsets [" + std::to_string(e.offsets[0]) + ", " +
                 std::to_string(e.offsets[1]) + "] are not inside the data's " +
                 std::to_string(data) + " bytes: cut off?");
    if (e.offsets[1] - e.offsets[0] != bytes)
      fail_input(of + "dtype and shape need " + std::to_string(bytes) +
                 " bytes but data_offsets span " + std::to_string(e.offsets[1] - e.offsets[0]));
  }
  check_cover(header.entries, data, where);

  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  for (std::size_t i = 0; i < header.entries.size(); ++i) {
    const TensorEntry& e = header.entries[i];
    file.tensors.emplace_back(
        e.name, load(e, *dtypes[i], source, 8 + n, where + "tensor \"" + shown(e.name) + "\": "));
  }
  return file;
}

struct Item {
  const std::string* name;
  at::Tensor tensor;
  std::size_t rank;  // place of its dtype in kDtypes
};

std::vector<Item> in_file_order(const SafetensorsFile& file) {
  std::vector<Item> items;
  std::set<std::string> names{"__metadata__"};
  for (const auto& [name, tensor] : file.tensors) {
    const std::string of = "safetensors: tensor \"" + shown(name) + "\" ";
    if (!names.insert(name).second) fail_usage(of + "has a name that is taken");
    if (!tensor.defined()) fail_usage(of + "is undefined");
    const auto* d = std::find_if(kDtypes.begin(), kDtypes.end(), [&x = tensor](const DtypeName& n) {
      return n.type == x.scalar_type();
    });
    if (d == kDtypes.end())
      fail_usage(of + "has dtype " + c10::toString(tensor.scalar_type()) +
                 "; expected F64 F32 F16 BF16 I64 I32 I16 I8 U8 or BOOL");
    items.push_back(
        {&name, tensor.detach().cpu().contiguous(), static_cast<std::size_t>(d - kDtypes.begin())});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.rank != b.rank ? a.rank < b.rank : *a.name < *b.name;
  });
  return items;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) { return read(Source(path), path); }

SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name) {
  return read(Source(bytes), name);
}

std::string safetensors_bytes(const SafetensorsFile& file) {
  const std::vector<Item> items = in_file_order(file);
  std::map<std::string, std::string> metadata = file.metadata;
  metadata.emplace("format", "pt");
  std::string json = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata)
    json += (json.back() == '{' ? "" : ",") + json_string(key) + ":" + json_string(value);
  json += "}";
  std::uint64_t data = 0;
  for (const Item& item : items) {
    json += "," + json_string(*item.name) + ":{\"dtype\":\"" + kDtypes[item.rank].name +
            "\",\"shape\":[";
    for (const std::int64_t n : item.tensor.sizes())
      json += (json.back() == '[' ? "" : ",") + std::to_string(n);
    json += "],\"data_offsets\":[" + std::to_string(data) + ",";
    data += item.tensor.nbytes();
    json += std::to_string(data) + "]}";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kMaxHeader) fail_usage("safetensors: names and shapes exceed 100000000 bytes");
  const std::uint64_t n = json.size();
  std::string bytes(reinterpret_cast<const char*>(&n), 8);
  bytes.reserve(8 + n + data);
  bytes += json;
  for (const Item& item : items)
    bytes.append(static_cast<const char*>(item.tensor.data_ptr()), item.tensor.nbytes());
  return bytes;
}

}  // namespace attend::interop
