#pragma once
#include <cstdint>
#include <string>

#include "interop/byte_source.h"
#include "interop/safetensors_header.h"

namespace attend::interop {

constexpr std::uint64_t kMaxHeader = 100'000'000;

/// The order in which the safetensors package writes dtypes.
enum class Dtype { kI64, kF64, kF32, kI32, kBF16, kF16, kI16, kI8, kU8, kBool };
constexpr int kDtypes = 10;
const char* name_of(Dtype dtype);
std::uint64_t bytes_of(Dtype dtype);

/// A header that keeps every rule: offsets are inside the data, cover it exactly, and fit dtype and shape.
struct SafetensorsLayout {
  SafetensorsHeader header;
  std::vector<Dtype> dtypes;      // one for each entry
  std::uint64_t data_offset = 0;  // of the data in the file
};

/// Reads and checks all but the tensors themselves. Throws kBadInput, each message starting with `where`.
SafetensorsLayout read_layout(const ByteSource& source, const std::string& where);

}  // namespace attend::interop
