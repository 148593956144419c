#pragma once
#include <cstdint>
#include <cstring>

namespace attend::kernels {

/// A bfloat16 as memory holds it: the upper half of a float.
struct BFloat16 {
  std::uint16_t bits = 0;
};

/// The value, which every float holds exactly.
inline float widen(BFloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

/// The nearest bfloat16, of two equally near ones the even one; NaN stays NaN.
inline BFloat16 narrow(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return {static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded)};
}

template <class I>
struct AccumulatorOf {
  using Type = I;
};
template <>
struct AccumulatorOf<BFloat16> {
  using Type = float;
};
/// What a kernel computes in when its arrays hold I.
template <class I>
using Accumulator = typename AccumulatorOf<I>::Type;

}  // namespace attend::kernels
