#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "attend/base/error.h"
#include "interop/safetensors_layout.h"

/// Whatever is accepted keeps the promises that the loader of tensors relies on.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::interop;
  try {
    const ByteSource source(std::string_view(reinterpret_cast<const char*>(bytes), size));
    const SafetensorsLayout layout = read_layout(source, "x: ");
    const std::uint64_t data = size - layout.data_offset;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < layout.header.entries.size(); ++i) {
      const TensorEntry& e = layout.header.entries[i];
      std::uint64_t n = bytes_of(layout.dtypes.at(i));
      for (const std::uint64_t d : e.shape) n *= d;
      if (e.offsets.at(1) - e.offsets.at(0) != n || e.offsets[1] > data) std::abort();
      total += n;
    }
    if (total != data) std::abort();
  } catch (const attend::Error& e) {
    if (e.kind() != attend::ErrorKind::kBadInput) std::abort();
  }
  return 0;
}
