#include "interop/safetensors_layout.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "attend/base/error.h"

namespace attend::interop {
namespace {

constexpr std::array<const char*, kDtypes> kNames{"I64", "F64", "F32", "I32", "BF16",
                                                  "F16", "I16", "I8",  "U8",  "BOOL"};
constexpr std::array<std::uint64_t, kDtypes> kBytes{8, 8, 4, 4, 2, 2, 2, 1, 1, 1};

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

Dtype dtype_of(const TensorEntry& e, const std::string& where) {
  for (int i = 0; i < kDtypes; ++i)
    if (e.dtype == kNames[i]) return static_cast<Dtype>(i);
  fail_input(where + "dtype \"" + shown(e.dtype) +
             "\" is not one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL");
}

/// The number of bytes that dtype and shape ask for; every product is checked, zeros counted as ones so
/// that strides can't overflow either.
std::uint64_t bytes_needed(const TensorEntry& e, Dtype dtype, const std::string& where) {
  std::uint64_t bound = bytes_of(dtype), bytes = bound;
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
  order.reserve(entries.size());
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

}  // namespace

const char* name_of(Dtype dtype) { return kNames[static_cast<std::size_t>(dtype)]; }
std::uint64_t bytes_of(Dtype dtype) { return kBytes[static_cast<std::size_t>(dtype)]; }

SafetensorsLayout read_layout(const ByteSource& source, const std::string& where) {
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
  SafetensorsLayout layout;
  layout.header = parse_header(json, where);
  layout.data_offset = 8 + n;

  const std::uint64_t data = source.size() - 8 - n;
  for (const TensorEntry& e : layout.header.entries) {  // all rules first, then all allocations
    const std::string of = where + "tensor \"" + shown(e.name) + "\": ";
    layout.dtypes.push_back(dtype_of(e, of));
    const std::uint64_t bytes = bytes_needed(e, layout.dtypes.back(), of);
    if (e.offsets[0] > e.offsets[1] || e.offsets[1] > data)
      fail_input(of + "data_offsets [" + std::to_string(e.offsets[0]) + ", " +
                 std::to_string(e.offsets[1]) + "] are not inside the data's " +
                 std::to_string(data) + " bytes: cut off?");
    if (e.offsets[1] - e.offsets[0] != bytes)
      fail_input(of + "dtype and shape need " + std::to_string(bytes) +
                 " bytes but data_offsets span " + std::to_string(e.offsets[1] - e.offsets[0]));
  }
  check_cover(layout.header.entries, data, where);

  return layout;
}

}  // namespace attend::interop
