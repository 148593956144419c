#include "attend/nn/dropout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/base/threads.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define ATTEND_TARGET(name) __attribute__((target(name)))
#define ATTEND_INLINE inline __attribute__((always_inline))
#else
#define ATTEND_INLINE inline
#endif

namespace attend::nn {
namespace {

/// Elements that one thread draws at a time: about 10 µs, next to which waking a thread is little.
constexpr std::int64_t kDropoutPart = 1 << 14;

struct Stream {
  std::uint32_t key0, key1, index0, index1;
};

/// kLanes consecutive blocks of base/random.h's philox at once, so that the compiler can keep each
/// counter word in a vector. Word w of block l is out[4 l + w] < threshold ? 0 : keep.
template <class T, int kLanes>
ATTEND_INLINE void philox_mask(std::uint32_t first, const Stream& s, std::uint32_t threshold,
                               T keep, T* out) {
  std::uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    c0[l] = first + static_cast<std::uint32_t>(l);
    c1[l] = s.index0;
    c2[l] = s.index1;
    c3[l] = static_cast<std::uint32_t>(Purpose::kDropout);
  }
  std::uint32_t k0 = s.key0, k1 = s.key1;
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kLanes; ++l) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0[l];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2[l];
      c0[l] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
      c1[l] = static_cast<std::uint32_t>(p1);
      c2[l] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
      c3[l] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int l = 0; l < kLanes; ++l) {
    out[4 * l + 0] = c0[l] < threshold ? T(0) : keep;
    out[4 * l + 1] = c1[l] < threshold ? T(0) : keep;
    out[4 * l + 2] = c2[l] < threshold ? T(0) : keep;
    out[4 * l + 3] = c3[l] < threshold ? T(0) : keep;
  }
}

/// out[i … n), i a multiple of 4.
template <class T, int kLanes>
ATTEND_INLINE void fill_body(const Stream& s, std::uint32_t threshold, T keep, T* out,
                             std::int64_t i, std::int64_t n) {
  constexpr std::int64_t kStep = 4 * kLanes;
  for (; i + kStep <= n; i += kStep)
    philox_mask<T, kLanes>(static_cast<std::uint32_t>(i / 4), s, threshold, keep, out + i);
  T tail[kStep];
  if (i < n) philox_mask<T, kLanes>(static_cast<std::uint32_t>(i / 4), s, threshold, keep, tail);
  for (std::int64_t j = 0; i + j < n; ++j) out[i + j] = tail[j];
}

template <class T>
void fill_plain(const Stream& s, std::uint32_t threshold, T keep, T* out, std::int64_t first,
                std::int64_t end) {
  fill_body<T, 4>(s, threshold, keep, out, first, end);
}

#ifdef ATTEND_TARGET
template <class T>
ATTEND_TARGET("avx2")
void fill_avx2(const Stream& s, std::uint32_t threshold, T keep, T* out, std::int64_t first,
               std::int64_t end) {
  fill_body<T, 16>(s, threshold, keep, out, first, end);
}
#endif

template <class T>
void fill(const Stream& s, double rate, T* out, std::int64_t n) {
  // The smallest integer that no dropped word reaches; a rate just below 1 must not wrap to 0.
  const auto threshold = static_cast<std::uint32_t>(std::min(std::ceil(rate * 0x1p32), 0x1p32 - 1));
  const T keep = static_cast<T>(1.0 / (1.0 - rate));
  const auto part = [&](int i) {
    const std::int64_t first = i * kDropoutPart, end = std::min(n, first + kDropoutPart);
#ifdef ATTEND_TARGET
    if (__builtin_cpu_supports("avx2")) return fill_avx2(s, threshold, keep, out, first, end);
#endif
    fill_plain(s, threshold, keep, out, first, end);
  };
  parallel_run(static_cast<int>((n + kDropoutPart - 1) / kDropoutPart), part);
}

}  // namespace

at::Tensor dropout_mask(std::int64_t rows, std::int64_t columns, double rate, const Pass& pass,
                        const DropoutStream& stream, at::ScalarType dtype) {
  if (!(rate >= 0.0 && rate < 1.0))
    fail_usage("dropout rate is " + std::to_string(rate) + ": it must be in [0, 1)");
  const std::uint64_t index = static_cast<std::uint64_t>(pass.step) << 15 |
                              static_cast<std::uint64_t>(stream.layer & 0xFFF) << 3 |
                              std::uint64_t{stream.reverse} << 2 |
                              static_cast<std::uint64_t>(stream.site);
  const Stream s{static_cast<std::uint32_t>(pass.seed), static_cast<std::uint32_t>(pass.seed >> 32),
                 static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32)};
  const at::Tensor mask = at::empty({rows, columns}, at::TensorOptions().dtype(dtype));
  if (dtype == at::kFloat) {
    fill(s, rate, mask.data_ptr<float>(), mask.numel());
  } else if (dtype == at::kDouble) {
    fill(s, rate, mask.data_ptr<double>(), mask.numel());
  } else {
    fail_usage("dropout mask: dtype must be float or double");
  }
  return mask;
}

at::Tensor dropout(const at::Tensor& x, double rate, const Pass& pass,
                   const DropoutStream& stream) {
  if (!pass.training || rate == 0 || x.numel() == 0) return x;
  const std::int64_t columns = x.dim() == 0 ? 1 : x.size(-1);
  const at::ScalarType drawn = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return x * dropout_mask(x.numel() / columns, columns, rate, pass, stream, drawn)
                 .to(x.options())
                 .view(x.sizes());
}

at::Tensor sequence_dropout(const at::Tensor& x, double rate, const Pass& pass,
                            const DropoutStream& stream) {
  if (!pass.training || rate == 0) return x;
  return x * dropout_mask(x.size(0), x.size(2), rate, pass, stream, x.scalar_type()).unsqueeze(1);
}

}  // namespace attend::nn
