// GRU backward: attend/kernels/gru.h says what, layout.h how memory is laid out.
#include "attend/base/threads.h"
#include "kernels/gru/layout.h"
#include "kernels/lstm/rows.h"
#include "kernels/simd/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gru/backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/gru/cell-inl.h"
#include "kernels/lstm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Panels of the products (columns of h̃ and x̃) and of the weight gradients (columns of n, [r z] and [r z n]).
template <class T>
struct GruBackwardPanels {
  Panels hidden, input, gates, all;

  explicit GruBackwardPanels(const LstmShape& s)
      : GruBackwardPanels(s.hidden, s.input, hn::Lanes(hn::ScalableTag<T>())) {}
  GruBackwardPanels(std::int64_t h, std::int64_t input_size, std::int64_t lanes)
      : hidden(h, lanes), input(input_size, lanes), gates(2 * h, lanes), all(3 * h, lanes) {}
};

/// Panel p of weights [depth][columns], row after row.
template <class T>
void gru_pack_rows(const Panels& panels, std::int64_t p, const T* weights, std::int64_t depth,
                   T* packed) {
  const std::int64_t width = panels.width(p), first = panels.begin(p),
                     used = std::min(width, panels.columns() - first);
  T* to = packed + first * depth;
  for (std::int64_t n = 0; n < depth; ++n, to += width) {
    std::memcpy(to, weights + n * panels.columns() + first, used * sizeof(T));
    std::fill(to + used, to + width, T(0));
  }
}

template <class T>
void gru_pack_back(const LstmShape& s, const GruBackward<T>& run, const GruMatrices<T>& packed,
                   int worker, int workers) {
  const GruBackwardPanels<T> panels(s);
  const std::int64_t h = s.hidden;
  for (std::int64_t p = worker; p < panels.hidden.count(); p += workers) {
    gru_pack_rows(panels.hidden, p, run.weights.weight_hh, 2 * h, packed.gates);
    gru_pack_rows(panels.hidden, p, run.weights.weight_hh + 2 * h * h, h, packed.hidden);
  }
  for (std::int64_t p = worker; run.grad_input.data && p < panels.input.count(); p += workers)
    gru_pack_rows(panels.input, p, run.weights.weight_ih, 3 * h, packed.input);
}

/// One worker's rows, all steps from the last to the first.
template <class T, GruForm kForm>
class GruBackwardWorker {
  using D = hn::ScalableTag<T>;

 public:
  GruBackwardWorker(const LstmPlan& plan, const GruBackward<T>& run, const GruMatrices<T>& packed,
                    const T* zeros, const LstmSaved<const T>& saved,
                    const GruBackwardScratch<T>& scratch, std::int64_t slice)
      : shape_(plan.shape()),
        layout_(plan.shape()),
        rows_(plan, plan.slices()[slice]),
        run_(run),
        packed_(packed),
        zeros_(zeros),
        saved_(saved),
        scratch_(scratch),
        block_rows_(lstm_block_rows(plan.slices()[slice])),
        panels_(plan.shape()) {}

  void work() {
    start();
    std::int64_t first = block_rows_;  // rows [first, block_rows_) of the block are filled
    for (std::int64_t s = rows_.steps() - 1; s >= 0; --s) {
      const std::int64_t n = rows_.active(s);
      if (first < n) {
        add_weight_gradients(rows_.offset(s + 1), first);
        first = block_rows_;
      }
      first -= n;
      T* gates = scratch_.gates + first * layout_.gates;
      for (std::int64_t r = 0; r < n; ++r) step_row(s, r, gates + r * layout_.gates);
      multiply_step(s, gates);
      for (std::int64_t r = 0; r < n; ++r) finish_row(s, r);
    }
    add_weight_gradients(0, first);
    finish();
  }

 private:
  T* joint(std::int64_t r) const { return scratch_.joint + r * layout_.joint; }
  const T* saved_joint(std::int64_t s, std::int64_t r) const {
    return saved_.joint + (rows_.offset(s) + r) * layout_.joint;
  }
  const T* state_before(std::int64_t s, std::int64_t r) const {
    return saved_.cells + (s == 0 ? r : rows_.count() + rows_.offset(s - 1) + r) * layout_.state;
  }

  void start() {
    const auto& w = run_.weights;
    if (w.input_mask) rows_.gather(w.input_mask, shape_.input, scratch_.input_mask, layout_.input);
    if (w.recurrent_mask)
      rows_.gather(w.recurrent_mask, shape_.hidden, scratch_.recurrent_mask, layout_.state);
    // A row enters at its own last step with the gradient of h_n.
    rows_.gather(run_.grad_h_n, shape_.hidden, scratch_.carry, layout_.state);
    std::memset(scratch_.joint, 0, rows_.count() * layout_.joint * sizeof(T));
    std::memset(scratch_.bias, 0, 4 * layout_.state * sizeof(T));
    std::memset(scratch_.sums.hidden, 0, shape_.hidden * lstm_padded(shape_.hidden) * sizeof(T));
    std::memset(scratch_.sums.gates, 0, shape_.hidden * lstm_padded(2 * shape_.hidden) * sizeof(T));
    std::memset(scratch_.sums.input, 0, shape_.input * lstm_padded(3 * shape_.hidden) * sizeof(T));
  }

  GruCellBackward<T> cell(std::int64_t s, std::int64_t r, T* gates) const {
    GruCellBackward<T> row;
    row.gates = saved_.gates + (rows_.offset(s) + r) * layout_.gates;
    row.h_before = state_before(s, r);
    row.dh = joint(r);
    row.carry = scratch_.carry + r * layout_.state;
    row.before = gates;
    row.bias = scratch_.bias;
    return row;
  }

  void step_row(std::int64_t s, std::int64_t r, T* gates) {
    if (run_.grad_output.data)
      add_row(D(), joint(r), rows_.at(run_.grad_output, r, s), shape_.hidden);
    gru_cell_backward<kForm>(D(), cell(s, r, gates), shape_.hidden, layout_.state);
  }

  // h̃ first, whose last vector spills into x̃.
  void multiply_step(std::int64_t s, T* gates) {
    const std::int64_t n = rows_.active(s), h = shape_.hidden, stride = layout_.gates,
                       to_stride = layout_.joint;
    const T* of_hidden = kForm == GruForm::kResetAfter ? gates : gates + 3 * h;
    T* const to = scratch_.joint;
    multiply(D(), panels_.hidden,
             Product<T>{of_hidden, stride, 1, packed_.hidden, h, zeros_, 0, to, to_stride}, n);
    if constexpr (kForm == GruForm::kResetBefore)
      for (std::int64_t r = 0; r < n; ++r)
        gru_reset_backward(D(), cell(s, r, gates + r * stride), joint(r), saved_joint(s, r), h,
                           layout_.state);
    multiply(D(), panels_.hidden,
             Product<T>{gates + h, stride, 1, packed_.gates, 2 * h, to, to_stride, to, to_stride},
             n, needed_after_product(s));
    if (run_.grad_input.data)
      multiply(D(), panels_.input,
               Product<T>{gates + h, stride, 1, packed_.input, 3 * h, zeros_, 0, to + h, to_stride},
               n);
  }

  Prefetch needed_after_product(std::int64_t s) const {
    Prefetch p;
    const std::int64_t size = sizeof(T);
    rows_.prefetch(p, run_.grad_input, s, shape_.input);
    p.add(saved_joint(s, 0), 1, 0, rows_.active(s) * layout_.joint * size);
    if (s == 0) return p;
    p.add(saved_.gates + rows_.offset(s - 1) * layout_.gates, 1, 0,
          rows_.active(s - 1) * layout_.gates * size);
    p.add(state_before(s - 1, 0), 1, 0, rows_.active(s - 1) * layout_.state * size);
    rows_.prefetch(p, run_.grad_output, s - 1, shape_.hidden);
    return p;
  }

  // x̃ first: multiplying h̃ by its mask spills into it.
  void finish_row(std::int64_t s, std::int64_t r) {
    if (run_.grad_input.data) {
      T* dx = joint(r) + shape_.hidden;
      if (run_.weights.input_mask)
        multiply_row(D(), dx, scratch_.input_mask + r * layout_.input, shape_.input);
      std::memcpy(rows_.at(run_.grad_input, r, s), dx, shape_.input * sizeof(T));
    }
    if (run_.weights.recurrent_mask)
      multiply_row(D(), joint(r), scratch_.recurrent_mask + r * layout_.state, shape_.hidden);
  }

  /// The block, whose rows [first, block_rows_) belong to the saved rows that start at `from`.
  void add_weight_gradients(std::int64_t from, std::int64_t first) {
    const std::int64_t h = shape_.hidden;
    const T* const h_masked = saved_.joint + from * layout_.joint;
    const T* const v = saved_.gates + from * layout_.gates;
    if (run_.grad_weight_hh) {
      add_products(panels_.gates, h, h_masked, layout_.joint, h, first, scratch_.sums.gates);
      if constexpr (kForm == GruForm::kResetAfter)
        add_products(panels_.hidden, 0, h_masked, layout_.joint, h, first, scratch_.sums.hidden);
      else
        add_products(panels_.hidden, 3 * h, v, layout_.gates, h, first, scratch_.sums.hidden);
    }
    if (run_.grad_weight_ih)
      add_products(panels_.all, h, h_masked + h, layout_.joint, shape_.input, first,
                   scratch_.sums.input);
  }

  /// sum[k][n] += Σ_row a[row][k] · gates[row][column + n], k < depth.
  void add_products(const Panels& panels, std::int64_t column, const T* a, std::int64_t a_stride,
                    std::int64_t depth, std::int64_t first, T* sum) {
    const std::int64_t rows = block_rows_ - first,
                       pieces = (rows + kLstmPanelRows - 1) / kLstmPanelRows;
    for (std::int64_t p = 0; p < panels.count(); ++p) {
      T* to = sum + panels.begin(p) * depth;
      const std::int64_t width = panels.width(p);
      for (std::int64_t i = 0; i < pieces; ++i) {
        const std::int64_t begin = i * rows / pieces, end = (i + 1) * rows / pieces;
        copy_panel(D(), scratch_.gates + (first + begin) * layout_.gates + column + panels.begin(p),
                   layout_.gates, end - begin, width, scratch_.panel);
        const Product<T> product{
            a + begin * a_stride, 1, a_stride, scratch_.panel, end - begin, to, width, to, width};
        Prefetch nothing;
        multiply_panel(D(), panels.vectors(p), product, depth, nothing);
      }
    }
  }

  void finish() {
    for (std::int64_t r = 0; run_.grad_h0 && r < rows_.count(); ++r) {
      T* const to = run_.grad_h0 + rows_.batch(r) * shape_.hidden;
      const T *const through = joint(r), *const carry = scratch_.carry + r * layout_.state;
      for (std::int64_t u = 0; u < shape_.hidden; ++u) to[u] = through[u] + carry[u];
    }
    if (run_.grad_input.data) rows_.clear_rest(run_.grad_input, shape_.steps, shape_.input);
  }

  const LstmShape shape_;
  const LstmLayout layout_;
  const LstmRows rows_;
  const GruBackward<T>& run_;
  const GruMatrices<T> packed_;
  const T* const zeros_;
  const LstmSaved<const T> saved_;
  const GruBackwardScratch<T> scratch_;
  const std::int64_t block_rows_;
  const GruBackwardPanels<T> panels_;
};

/// to[columns][depth] = the sum over the workers of part(worker) [depth][columns], in their order. Worker w of `workers`
/// takes its share of the panels; the first part takes the sums.
template <class T, class Part>
void gru_reduce(const Panels& panels, std::int64_t depth, const Part& part, int w, int workers,
                T* to) {
  for (std::int64_t p = w; to && p < panels.count(); p += workers) {
    const std::int64_t first = panels.begin(p), width = panels.width(p);
    T* sum = part(0) + first * depth;
    for (int other = 1; other < workers; ++other)
      add_row(hn::ScalableTag<T>(), sum, part(other) + first * depth, depth * width);
    transpose(sum, width, depth, std::min(width, panels.columns() - first), to + first * depth,
              depth);
  }
}

template <class T, class Scratch>
void gru_reduce_bias(const LstmPlan& plan, const GruBackward<T>& run, const Scratch& scratch) {
  const LstmLayout layout(plan.shape());
  const std::int64_t h = plan.shape().hidden;
  T* sum = scratch(0).bias;
  for (std::size_t w = 1; w < plan.slices().size(); ++w)
    add_row(hn::ScalableTag<T>(), sum, scratch(w).bias, 4 * layout.state);
  const int of_hidden =
      run.weights.form == GruForm::kResetAfter ? 0 : 3;  // u; or a, which has both biases
  for (int gate = 0; gate < 3; ++gate) {
    const T* from = sum + (gate + 1) * layout.state;
    if (run.grad_bias_ih) lstm_copy(run.grad_bias_ih + gate * h, from, h);
    if (run.grad_bias_hh)
      lstm_copy(run.grad_bias_hh + gate * h, gate < 2 ? from : sum + of_hidden * layout.state, h);
  }
}

/// The gradient of an empty batch.
template <class T>
void gru_clear(const LstmShape& s, const GruBackward<T>& run) {
  const auto clear = [](T* to, std::int64_t n) {
    if (to) lstm_copy<T>(to, nullptr, n);
  };
  clear(run.grad_weight_ih, 3 * s.hidden * s.input);
  clear(run.grad_weight_hh, 3 * s.hidden * s.hidden);
  clear(run.grad_bias_ih, 3 * s.hidden);
  clear(run.grad_bias_hh, 3 * s.hidden);
}

template <class T>
void gru_backward_all(const LstmPlan& plan, const GruBackward<T>& run) {
  note_simd_target(HWY_TARGET);
  const LstmShape& shape = plan.shape();
  const LstmLayout layout(shape);
  const int workers = static_cast<int>(plan.slices().size());
  if (workers == 0) return gru_clear(shape, run);
  LstmPieces<T> pieces(run.workspace);
  GruMatrices<T> packed;
  packed.take_backward(pieces, shape);
  GruStart<T> start;
  start.take(pieces, shape);
  T* const zeros = start.input;
  std::memset(zeros, 0, lstm_padded(std::max(shape.hidden, shape.input)) * sizeof(T));
  const auto scratch = [&](std::int64_t w) {
    return lstm_part<GruBackwardScratch<T>>(
        plan, pieces, w,
        [&](auto& part, auto& from, auto& slice) { part.take(from, shape, layout, slice); });
  };
  parallel_run(workers, [&](int w) { gru_pack_back(shape, run, packed, w, workers); });
  parallel_run(workers, [&](int w) {
    const auto saved = lstm_part<LstmSaved<const T>>(
        plan, LstmPieces<const T>(run.saved), w,
        [&](auto& part, auto& from, auto& slice) { part.take(from, layout, slice); });
    if (run.weights.form == GruForm::kResetAfter)
      GruBackwardWorker<T, GruForm::kResetAfter>(plan, run, packed, zeros, saved, scratch(w), w)
          .work();
    else
      GruBackwardWorker<T, GruForm::kResetBefore>(plan, run, packed, zeros, saved, scratch(w), w)
          .work();
  });
  const GruBackwardPanels<T> panels(shape);
  T* const hh = run.grad_weight_hh;
  T* const hh_n = hh ? hh + 2 * shape.hidden * shape.hidden : nullptr;
  parallel_run(workers, [&](int w) {
    gru_reduce(
        panels.gates, shape.hidden, [&](int k) { return scratch(k).sums.gates; }, w, workers, hh);
    gru_reduce(
        panels.hidden, shape.hidden, [&](int k) { return scratch(k).sums.hidden; }, w, workers,
        hh_n);
    gru_reduce(
        panels.all, shape.input, [&](int k) { return scratch(k).sums.input; }, w, workers,
        run.grad_weight_ih);
    if (w == 0) gru_reduce_bias(plan, run, scratch);
  });
}

}  // namespace

void gru_backward_float(const LstmPlan& plan, const GruBackward<float>& run) {
  gru_backward_all(plan, run);
}
void gru_backward_double(const LstmPlan& plan, const GruBackward<double>& run) {
  gru_backward_all(plan, run);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(gru_backward_float);
HWY_EXPORT(gru_backward_double);

void gru_backward(const LstmPlan& plan, const GruBackward<float>& run) {
  HWY_DYNAMIC_DISPATCH(gru_backward_float)(plan, run);
}
void gru_backward(const LstmPlan& plan, const GruBackward<double>& run) {
  HWY_DYNAMIC_DISPATCH(gru_backward_double)(plan, run);
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
