#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "attend/base/error.h"
#include "interop/word_vectors_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::istringstream stream(std::string(reinterpret_cast<const char*>(bytes), size));
  try {
    const auto v = attend::interop::read_word_vectors_text(stream, "x", {});
    if (v.width < 1 || v.values.size() != v.words.size() * static_cast<std::size_t>(v.width))
      std::abort();
    for (const float x : v.values)
      if (!std::isfinite(x)) std::abort();
  } catch (const attend::Error& e) {
    if (e.kind() != attend::ErrorKind::kBadInput) std::abort();
  }
  return 0;
}
