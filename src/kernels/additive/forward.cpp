// Additive attention, forward, and the preparation of keys: include/attend/kernels/additive.h has the equations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/additive/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>

#include "attend/base/threads.h"
#include "attend/kernels/additive.h"
#include "kernels/additive/block-inl.h"
#include "kernels/additive/values-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void prepare(const AdditivePrepare<T>& p) {
  note_simd_target(HWY_TARGET);
  const std::int64_t rows = p.batch * p.keys, padded = additive_padded<T>(p.width);
  const int parts = rows * padded < kAdditiveParallel
                        ? 1
                        : static_cast<int>(std::min<std::int64_t>(threads(), rows));
  parallel_run(parts, [&](int part) {
    for (std::int64_t i = part * rows / parts; i < (part + 1) * rows / parts; ++i) {
      const T* row = p.key + i / p.keys * p.key_strides.batch + i % p.keys * p.key_strides.row;
      exponentials(row, p.width, p.prepared + i * padded);
    }
  });
}

template <int R, class T>
void forward_block(const AdditiveForward<T>& p, const AdditiveShared<T>& shared, std::int64_t b,
                   std::int64_t first, T* scratch) {
  AdditiveBlock<R, T> block(p, shared, b, first, scratch);
  block.weigh();
  const std::int64_t begin = block.begin(), end = block.end(), row = b * p.queries + first;
  for (int r = 0; r < R; ++r) {
    if (p.weights) {
      T* out = p.weights + (row + r) * p.keys;
      std::fill(out, out + begin, T{0});
      std::copy(block.weights(r) + begin, block.weights(r) + end, out + begin);
      std::fill(out + end, out + p.keys, T{0});
    }
    if (p.dropout > 0) block.drop(r, block.weights(r));
  }
  sum_values<R>(
      WeightRows<T>{block.weights(), block.pitch(), begin, end},
      [&](std::int64_t j) { return block.value(j); }, p.value_width,
      p.output + row * p.value_width);
}

template <class T>
void forward(const AdditiveForward<T>& p) {
  note_simd_target(HWY_TARGET);
  const std::int64_t blocks = additive_blocks(p.queries), tasks = p.batch * blocks;
  if (tasks == 0) return;
  const AdditiveShared<T> shared(p, p.workspace);
  T* const scratch = p.workspace + AdditiveShared<T>::size(p);
  const std::int64_t chunk = std::max<std::int64_t>(1, tasks / 64);
  std::atomic<std::int64_t> next{0};
  parallel_run(additive_workers(p, tasks, threads()), [&](int worker) {
    T* const own = scratch + worker * AdditiveBlock<kAdditiveRows, T>::size(p);
    for (std::int64_t t = next.fetch_add(chunk); t < tasks; t = next.fetch_add(chunk))
      for (std::int64_t i = t; i < std::min(tasks, t + chunk); ++i)
        with_additive_block(p.queries, i % blocks, [&](std::int64_t first, auto rows) {
          forward_block<decltype(rows)::value>(p, shared, i / blocks, first, own);
        });
  });
}

void additive_prepare_float(const AdditivePrepare<float>& p) { prepare(p); }
void additive_prepare_double(const AdditivePrepare<double>& p) { prepare(p); }
void additive_forward_float(const AdditiveForward<float>& p) { forward(p); }
void additive_forward_double(const AdditiveForward<double>& p) { forward(p); }
std::int64_t additive_scratch_float(const AdditiveForward<float>& p) {
  return AdditiveShared<float>::size(p) + threads() * AdditiveBlock<kAdditiveRows, float>::size(p);
}
std::int64_t additive_scratch_double(const AdditiveForward<double>& p) {
  return AdditiveShared<double>::size(p) +
         threads() * AdditiveBlock<kAdditiveRows, double>::size(p);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(additive_prepare_float);
HWY_EXPORT(additive_prepare_double);
HWY_EXPORT(additive_forward_float);
HWY_EXPORT(additive_forward_double);
HWY_EXPORT(additive_scratch_float);
HWY_EXPORT(additive_scratch_double);

void additive_prepare(const AdditivePrepare<float>& p) {
  HWY_DYNAMIC_DISPATCH(additive_prepare_float)(p);
}
void additive_prepare(const AdditivePrepare<double>& p) {
  HWY_DYNAMIC_DISPATCH(additive_prepare_double)(p);
}
void additive_forward(const AdditiveForward<float>& p) {
  HWY_DYNAMIC_DISPATCH(additive_forward_float)(p);
}
void additive_forward(const AdditiveForward<double>& p) {
  HWY_DYNAMIC_DISPATCH(additive_forward_double)(p);
}

template <>
std::int64_t additive_forward_workspace(const AdditiveForward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(additive_scratch_float)(p);
}
template <>
std::int64_t additive_forward_workspace(const AdditiveForward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(additive_scratch_double)(p);
}
}  // namespace attend::kernels
#endif
