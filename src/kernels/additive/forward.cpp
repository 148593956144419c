// Additive attention, forward, and the preparation of keys: include/attend/kernels/additive.h has the equations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/additive/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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
  const std::int64_t padded = additive_padded<T>(p.width);
  over_additive_tasks(p.batch * p.keys, p.width, [&](int, std::int64_t i, std::int64_t) {
    const T* row = p.key + i / p.keys * p.key_strides.batch + i % p.keys * p.key_strides.row;
    exponentials(row, p.width, p.prepared + i * padded);
  });
}

template <int R, class T>
void forward_block(const AdditiveForward<T>& p, AdditiveBlock<R, T>& block, std::int64_t row,
                   Ahead& ahead) {
  block.weigh(ahead);
  const std::int64_t begin = block.begin(), end = block.end();
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
      WeightRows<T>{block.weights(), block.pitch(), 1, begin, end},
      [&](std::int64_t j) { return block.value(j); }, p.value_width, true,
      p.output + row * p.value_width);
}

/// Parts into which the queries of a row of the batch are split where there are few rows. Each makes the exponentials of its
/// keys anew, so it has enough queries for that not to count. No result depends on it.
template <class T>
std::int64_t parts_of_row(const AdditiveForward<T>& p) {
  const std::int64_t enough = 4 * threads(), least = kAdditiveRows * (p.prepared ? 1 : 4);
  if (p.batch >= enough) return 1;
  return std::clamp<std::int64_t>(p.queries / least, 1, (enough + p.batch - 1) / p.batch);
}

template <class T>
std::int64_t worker_size(const AdditiveForward<T>& p) {
  return AdditiveBlock<kAdditiveRows, T>::size(p) + AdditiveKeyRows<T>::size(p);
}

template <class T>
void forward(AdditiveForward<T> p) {
  note_simd_target(HWY_TARGET);
  if (p.batch * p.queries == 0) return;
  if (p.kept && parts_of_row(p) > 1) {  // two parts must not write one row
    prepare(AdditivePrepare<T>{p.batch, p.keys, p.width, p.key, p.key_strides, p.kept});
    p.prepared = p.kept;
  }
  const AdditiveShared<T> shared(p, p.workspace);
  T* const scratch = p.workspace + AdditiveShared<T>::size(p);
  const std::int64_t parts = parts_of_row(p),
                     blocks = (p.queries + kAdditiveRows - 1) / kAdditiveRows;
  over_additive_tasks(
      p.batch * parts, additive_row_work(p) / parts,
      [&](int worker, std::int64_t task, std::int64_t next) {
        T* const own = scratch + worker * worker_size(p);
        const std::int64_t b = task / parts, part = task % parts,
                           first = part * blocks / parts * kAdditiveRows,
                           last = std::min(p.queries, (part + 1) * blocks / parts * kAdditiveRows);
        Ahead ahead;
        if (p.queries >= kAdditiveAheadQueries) {
          ahead.add(Rows<const T>{p.output, p.value_width}, b * p.queries + first,
                    b * p.queries + last, p.value_width);
          if (parts == 1 && next >= 0) read_ahead(p, next, ahead);
          ahead.spread((last - first) / kAdditiveRows * (p.keys / kAdditiveKeys) *
                       (additive_padded<T>(p.width) / (2 * kAdditiveLanes<T>)));
        }
        const AdditiveKeyRows<T> keys(p, b, first, last,
                                      own + AdditiveBlock<kAdditiveRows, T>::size(p));
        over_tiles<kAdditiveRows>(first, last, [&](std::int64_t i, auto rows) {
          AdditiveBlock<decltype(rows)::value, T> block(p, shared, keys, b, i, own);
          forward_block(p, block, b * p.queries + i, ahead);
        });
      });
}

void additive_prepare_float(const AdditivePrepare<float>& p) { prepare(p); }
void additive_prepare_double(const AdditivePrepare<double>& p) { prepare(p); }
void additive_forward_float(const AdditiveForward<float>& p) { forward(p); }
void additive_forward_double(const AdditiveForward<double>& p) { forward(p); }
std::int64_t additive_scratch_float(const AdditiveForward<float>& p) {
  return AdditiveShared<float>::size(p) + threads() * worker_size(p);
}
std::int64_t additive_scratch_double(const AdditiveForward<double>& p) {
  return AdditiveShared<double>::size(p) + threads() * worker_size(p);
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
