#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace attend::interop {

struct SafetensorsFile {
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // in the order of the file
  std::map<std::string, std::string> metadata;
};

/// Reads a safetensors file. Every rule of the format is checked before anything is allocated
/// (header ≤ 100,000,000 bytes and inside the file, no duplicate keys, offsets contiguous and
/// covering the file, sizes by checked multiply, JSON depth ≤ 64). Throws kBadInput naming path,
/// tensor and rule; a pickle or zip is refused by its magic with the mend.
SafetensorsFile read_safetensors(const std::string& path);

/// The bytes of a safetensors file: header padded to 8, tensors sorted by descending alignment,
/// then name; row-major.
std::string safetensors_bytes(const SafetensorsFile& file);

}  // namespace attend::interop
