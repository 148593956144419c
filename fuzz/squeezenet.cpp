// A compressed SqueezeNet: refused with a message, or 26 layers of the sizes that it must have.
#include <cstdint>
#include <cstdlib>

#include "attend/base/error.h"
#include "interop/squeezenet_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto layers =
        attend::interop::parse_squeezenet({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (layers.size() != 26) std::abort();
    for (const auto& layer : layers)
      if (static_cast<std::int64_t>(layer.weights.size()) !=
          layer.outputs * layer.inputs * layer.kernel * layer.kernel)
        std::abort();
  } catch (const attend::Error&) {
  }
  return 0;
}
