// Mutations planted and caught: 9 rounds; the two key increments swapped; a multiplier wrong.
#include "attend/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace attend {
namespace {

using Counter = std::array<std::uint32_t, 4>;

TEST(Philox, KnownAnswersOfRandom123) {
  // tests/kat_vectors of the Random123 distribution, philox4x32 with 10 rounds: counter, key,
  // result.
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, SequenceIsTheBlocksOfItsCounter) {
  Random random(0x1122334455667788ull, Purpose::kDropout, 0x99aabbccddeeff00ull);
  for (std::uint32_t block = 0; block < 3; ++block) {
    const Counter want = philox({block, 0xddeeff00, 0x99aabbcc, 3}, {0x55667788, 0x11223344});
    for (const std::uint32_t word : want) EXPECT_EQ(random.bits(), word);
  }
}

TEST(Random, StreamsDiffer) {
  std::set<std::uint64_t> seen;
  int streams = 0;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32})
    for (const Purpose purpose : {Purpose::kInit, Purpose::kShuffle, Purpose::kDropout})
      for (const std::uint64_t index : {0ull, 1ull, 2ull, 1ull << 32, 1ull << 63}) {
        Random random(seed, purpose, index);
        seen.insert(static_cast<std::uint64_t>(random.bits()) << 32 | random.bits());
        ++streams;
      }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(streams));
}

/// Pearson's statistic of `counts` against equal expectation.
double chi_square(const std::vector<int>& counts, double total) {
  const double expected = total / static_cast<double>(counts.size());
  double sum = 0;
  for (const int n : counts) sum += (n - expected) * (n - expected) / expected;
  return sum;
}

/// Whether x is a plausible draw from chi-square with k degrees of freedom: within 4 standard
/// deviations.
void expect_plausible(double x, double k) {
  EXPECT_GT(x, k - 4 * std::sqrt(2 * k));
  EXPECT_LT(x, k + 4 * std::sqrt(2 * k));
}

TEST(Random, UniformIsUniform) {
  Random random(1, Purpose::kGenerate);
  std::vector<int> cells(100), pairs(100);
  double last = 0;
  bool fine = false;  // some value needs more than 32 bits
  for (int i = 0; i < 200000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ++cells[static_cast<std::size_t>(u * 100)];
    if (i % 2) ++pairs[static_cast<std::size_t>(last * 10) * 10 + static_cast<std::size_t>(u * 10)];
    fine |= std::ldexp(u, 32) != std::floor(std::ldexp(u, 32));
    last = u;
  }
  expect_plausible(chi_square(cells, 200000), 99);
  expect_plausible(chi_square(pairs, 100000), 99);
  EXPECT_TRUE(fine);
}

TEST(Random, BelowIsUniformEvenWhereModuloIsNot) {
  Random random(2, Purpose::kGenerate);
  for (const std::uint64_t n : {1ull, 2ull, 7ull, 1000ull}) {
    std::vector<int> cells(n);
    for (int i = 0; i < 100000; ++i) ++cells.at(random.below(n));
    if (n > 1) expect_plausible(chi_square(cells, 100000), static_cast<double>(n - 1));
  }
  // n = 3/4 of 2^64: x mod n hits the first third twice as often.
  const std::uint64_t n = 3ull << 62;
  std::vector<int> thirds(3);
  for (int i = 0; i < 30000; ++i) ++thirds[random.below(n) / (n / 3)];
  EXPECT_LT(chi_square(thirds, 30000), 20);
}

TEST(Random, NormalIsNormal) {
  Random random(3, Purpose::kGenerate);
  constexpr int kCells = 50, kDraws = 100000;
  std::vector<int> cells(kCells);
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal(), cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
    ++cells[std::min<std::size_t>(kCells - 1, static_cast<std::size_t>(cdf * kCells))];
    sum += x, squares += x * x, fourth += x * x * x * x;
  }
  expect_plausible(chi_square(cells, kDraws), kCells - 1);
  EXPECT_NEAR(sum / kDraws, 0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 4 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(fourth / kDraws, 3, 4 * std::sqrt(96.0 / kDraws));
}

}  // namespace
}  // namespace attend
