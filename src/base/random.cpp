#include "attend/base/random.h"

#include <cmath>

namespace attend {
namespace {

std::array<std::uint32_t, 2> multiply(std::uint32_t a, std::uint32_t b) {  // {high, low}
  const std::uint64_t p = std::uint64_t{a} * b;
  return {static_cast<std::uint32_t>(p >> 32), static_cast<std::uint32_t>(p)};
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c,
                                    std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const auto [h0, l0] = multiply(0xD2511F53u, c[0]);
    const auto [h1, l1] = multiply(0xCD9E8D57u, c[2]);
    c = {h1 ^ c[1] ^ k[0], l1, h0 ^ c[3] ^ k[1], l0};
    k = {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
  }
  return c;
}

Random::Random(std::uint64_t seed, Purpose purpose, std::uint64_t index) {
  // The seed is the key; purpose and index are the upper counter words, so two streams can never meet.
  key_ = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  counter_ = {0, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
              static_cast<std::uint32_t>(purpose)};
}

std::uint32_t Random::bits() {
  if (left_ == 0) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    left_ = 4;
  }
  return block_[4 - left_--];
}

double Random::uniform() {
  const std::uint64_t high = bits() >> 5, low = bits() >> 6;
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // 1 − u lies in (0, 1]
  return radius * std::cos(2.0 * M_PI * uniform());
}

std::uint64_t Random::below(std::uint64_t n) {
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % n;  // a multiple of n
  for (;;) {
    const std::uint64_t x = (std::uint64_t{bits()} << 32) | bits();
    if (x < limit) return x % n;
  }
}

}  // namespace attend
