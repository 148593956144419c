// The machine's own limit, measured in the process that measures the kernels: one loop of fused
// multiply-adds on registers, compiled once per instruction set and chosen at run time (Highway).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace attend::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Two units of latency 4 need 8 chains in flight; 12 leave room and still fit the 16 registers of
// AVX2.
constexpr int kChains = 12;

/// Operations done: rounds · 12 chains · lanes · 2. `sink` keeps the compiler from dropping the
/// work.
template <class T>
double chains(std::int64_t rounds, T* sink) {
  const hn::ScalableTag<T> d;
  const auto a = hn::Set(d, sink[0]), b = hn::Set(d, sink[1]);
  // Different starts, else the compiler sees that chains are equal and runs only one of them.
  const auto start = [&](int k) { return hn::Set(d, static_cast<T>(sink[1] * static_cast<T>(k))); };
  auto x0 = start(0), x1 = start(1), x2 = start(2), x3 = start(3), x4 = start(4), x5 = start(5);
  auto x6 = start(6), x7 = start(7), x8 = start(8), x9 = start(9), x10 = start(10), x11 = start(11);
  for (std::int64_t i = 0; i < rounds; ++i) {
    x0 = hn::MulAdd(x0, a, b), x1 = hn::MulAdd(x1, a, b), x2 = hn::MulAdd(x2, a, b);
    x3 = hn::MulAdd(x3, a, b), x4 = hn::MulAdd(x4, a, b), x5 = hn::MulAdd(x5, a, b);
    x6 = hn::MulAdd(x6, a, b), x7 = hn::MulAdd(x7, a, b), x8 = hn::MulAdd(x8, a, b);
    x9 = hn::MulAdd(x9, a, b), x10 = hn::MulAdd(x10, a, b), x11 = hn::MulAdd(x11, a, b);
  }
  const auto s0 = hn::Add(hn::Add(hn::Add(x0, x1), hn::Add(x2, x3)), hn::Add(x4, x5));
  const auto s1 = hn::Add(hn::Add(hn::Add(x6, x7), hn::Add(x8, x9)), hn::Add(x10, x11));
  sink[2] = hn::GetLane(hn::Add(s0, s1));
  return 2.0 * kChains * static_cast<double>(rounds) * static_cast<double>(hn::Lanes(d));
}

double float_chains(std::int64_t rounds, float* sink) { return chains(rounds, sink); }
double double_chains(std::int64_t rounds, double* sink) { return chains(rounds, sink); }
const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace attend::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <chrono>

#include "attend/base/threads.h"
#include "harness.h"

namespace attend::bench {
namespace {

HWY_EXPORT(float_chains);
HWY_EXPORT(double_chains);
HWY_EXPORT(target_name);

double burst(Dtype dtype, std::int64_t rounds) {
  // The chain x ← 0.999 x + 0.001 stays at 1: no infinities and no denormals slow it down.
  if (dtype == Dtype::kFloat) {
    volatile float start[2] = {0.999f, 0.001f};
    float sink[3] = {start[0], start[1], 0};
    return HWY_DYNAMIC_DISPATCH(float_chains)(rounds, sink);
  }
  volatile double start[2] = {0.999, 0.001};
  double sink[3] = {start[0], start[1], 0};
  return HWY_DYNAMIC_DISPATCH(double_chains)(rounds, sink);
}

}  // namespace

double fma_gflops(Dtype dtype, int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kRounds = 200'000;  // about 0.7 ms on a 3.7 GHz core
  struct alignas(64) Slot {
    double operations = 0;
  };
  std::vector<Slot> slots(static_cast<std::size_t>(threads));
  const auto task = [&](int i) {
    slots[static_cast<std::size_t>(i)].operations = burst(dtype, kRounds);
  };
  const auto start = Clock::now();
  parallel_run(threads, task);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  double operations = 0;
  for (const Slot& slot : slots) operations += slot.operations;
  return operations / seconds * 1e-9;
}

std::string fma_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace attend::bench
#endif  // HWY_ONCE
