#pragma once
// What the loops of draw_forward.cpp and draw_backward.cpp share.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/cat.h>

#include <algorithm>

#include "attend/base/threads.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/draw.h"
#include "ops/product.h"

namespace attend {

/// The second factor of many products, in the kernel's layout.
class PackedFactor {
 public:
  PackedFactor() = default;
  explicit PackedFactor(const at::Tensor& b)
      : b_(b.stride(0) == 1 || b.stride(1) == 1 ? b : b.contiguous()),
        packed_(pooled_empty({packed_factor_size(b_)}, b.options())) {
    pack_factor(b_, packed_);
  }
  /// c ← a b + bias
  void into(const at::Tensor& c, const at::Tensor& a, const at::Tensor& bias = {}) const {
    product_into(c, a, b_, {.bias = bias, .packed = packed_});
  }

 private:
  at::Tensor b_, packed_;
};

template <class T>
const T* draw_pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

inline at::Tensor draw_empty(at::IntArrayRef sizes, const at::Tensor& like) {
  return pooled_empty(sizes, like.options());
}

/// All steps of a tensor as rows: [T,B,…] -> [T · B, …].
inline at::Tensor all_rows(const at::Tensor& t) { return t.flatten(0, 1); }

/// What is multiplied with (h^dec, h^enc) before a step to give the encoder's gates: [4He,Hd+He].
inline at::Tensor from_states(const DrawShape& s, const DrawWeights& w) {
  return at::cat({w.encoder_ih.narrow(1, s.read, s.decoder), w.encoder_hh}, 1);
}

/// encoder_ih's columns of what is read; without attention only those of x̂, as x's part is the same at every step.
inline at::Tensor from_read(const DrawShape& s, const DrawOptions& o,
                            const at::Tensor& encoder_ih) {
  return o.attention ? encoder_ih.narrow(1, 0, s.read)
                     : encoder_ih.narrow(1, s.pixels(), s.pixels());
}

/// Rows of every tensor with steps first, [T,B,…].
inline at::Tensor rows_of(const at::Tensor& t, std::int64_t first, std::int64_t count) {
  return t.defined() ? t.narrow(1, first, count) : t;
}

inline DrawTape rows_of(const DrawTape& t, std::int64_t first, std::int64_t count) {
  const auto rows = [&](const at::Tensor& x) { return rows_of(x, first, count); };
  return {rows(t.images),
          rows(t.reads),
          rows(t.states),
          rows(t.encoder_cells),
          rows(t.decoder_cells),
          rows(t.encoder_gates),
          rows(t.decoder_gates),
          rows(t.latents),
          rows(t.codes),
          rows(t.heads),
          {},
          {}};
}

/// Fewer rows than this are not worth a thread of their own: each reads all the weights.
inline constexpr std::int64_t kDrawFewestRows = 16;

inline std::int64_t draw_parts(std::int64_t batch) {
  return std::clamp<std::int64_t>(batch / kDrawFewestRows, 1, threads());
}

/// task(part, first row, number of rows) on a thread for each part, which keeps it through all steps: rows never meet, and a
/// parallel region for every product would cost as much as the product.
template <class F>
void draw_share(std::int64_t batch, std::int64_t parts, const F& task) {
  parallel_run(static_cast<int>(parts), [&](int i) {
    const at::AutoDispatchBelowADInplaceOrView below;  // of this thread
    const std::int64_t first = batch * i / parts;
    task(i, first, batch * (i + 1) / parts - first);
  });
}

}  // namespace attend
