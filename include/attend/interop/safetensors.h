#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attend::interop {

struct SafetensorsFile {
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // in the order of the file's header
  std::map<std::string, std::string> metadata;
};

/// Reads a safetensors file: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL, any shape including rank 0 and
/// zero-size. Every rule of the format is checked before a tensor is allocated: header ≤ 100,000,000
/// bytes and inside the file, one JSON object without duplicate or unknown keys and at most 64 deep,
/// sizes by checked multiplication, offsets that start at 0, leave no hole and end with the file.
/// So no number in the file asks for more memory than the file is long. Tensors are contiguous copies.
/// Throws kBadInput naming path, tensor and rule; a pickle, zip or HDF5 is refused by its magic with
/// the mend; kIo when the file cannot be read. Time and memory: the file's size, once.
SafetensorsFile read_safetensors(const std::string& path);

/// The same from bytes in memory; `name` stands for the path in messages.
SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name);

/// The bytes of a safetensors file, the very ones that the safetensors package writes: header padded with
/// spaces to a multiple of 8, tensors sorted by dtype from the widest, then by name; row-major. "format": "pt"
/// is added to the metadata when it has no format. Any device and stride. Throws kUsage on a
/// repeated or reserved name, a name that isn't UTF-8, or another dtype.
std::string safetensors_bytes(const SafetensorsFile& file);

}  // namespace attend::interop
