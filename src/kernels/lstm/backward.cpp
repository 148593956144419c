// LSTM backward: attend/kernels/lstm.h says what, layout.h how memory is laid out.
#include "attend/kernels/lstm.h"

#include "attend/base/threads.h"
#include "kernels/lstm/layout.h"
#include "kernels/lstm/rows.h"
#include "kernels/simd/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lstm/backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/lstm/cell-inl.h"
#include "kernels/lstm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Row n of the packed matrix holds [W_hh, W_ih] of gate unit n; without W_ih when no gradient of the input is wanted.
template <class T>
void pack_panel(const LstmShape& shape, const LstmWeights<T>& w, const Panels& panels,
                std::int64_t p, T* packed) {
  const std::int64_t depth = 4 * shape.hidden, width = panels.width(p), first = panels.begin(p);
  T* to = packed + first * depth;
  for (std::int64_t n = 0; n < depth; ++n, to += width) {
    const T* hh = w.weight_hh + n * shape.hidden;
    const T* ih = w.weight_ih + n * shape.input;
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t k = first + j;
      to[j] = k < shape.hidden ? hh[k] : k < panels.columns() ? ih[k - shape.hidden] : T(0);
    }
  }
}

/// One worker's rows, all steps from the last to the first.
template <class T>
class Worker {
  using D = hn::ScalableTag<T>;

 public:
  Worker(const LstmPlan& plan, const LstmBackward<T>& run, const LstmPacked<T>& packed,
         const LstmSaved<const T>& saved, const LstmBackwardScratch<T>& scratch, std::int64_t slice)
      : shape_(plan.shape()),
        layout_(plan.shape()),
        rows_(plan, plan.slices()[slice]),
        run_(run),
        packed_(packed),
        saved_(saved),
        scratch_(scratch),
        block_rows_(lstm_block_rows(plan.slices()[slice])),
        gate_panels_(4 * shape_.hidden, hn::Lanes(D())),
        joint_panels_(shape_.hidden + (run.grad_input.data ? shape_.input : 0), hn::Lanes(D())) {}

  void work() {
    start();
    std::int64_t first = block_rows_;  // rows [first, block_rows_) of the block are filled
    for (std::int64_t s = rows_.steps() - 1; s >= 0; --s) {
      const std::int64_t n = rows_.active(s);
      if (first < n) {
        add_weight_gradient(rows_.offset(s + 1), first);
        first = block_rows_;
      }
      first -= n;
      T* gates = scratch_.gates + first * layout_.gates;
      for (std::int64_t r = 0; r < n; ++r) step_row(s, r, gates + r * layout_.gates);
      const Product<T> product{
          gates,          layout_.gates, 1, packed_.weights, 4 * shape_.hidden, packed_.start, 0,
          scratch_.joint, layout_.joint};
      multiply(D(), joint_panels_, product, n, needed_after_product(s));
      for (std::int64_t r = 0; r < n; ++r) finish_row(s, r);
    }
    add_weight_gradient(0, first);
    finish();
  }

 private:
  T* joint(std::int64_t r) const { return scratch_.joint + r * layout_.joint; }
  T* cell(std::int64_t r) const { return scratch_.cells + r * layout_.state; }
  const T* saved_cell(std::int64_t s, std::int64_t r) const {  // after step s; −1: c0
    return saved_.cells + (s < 0 ? r : rows_.count() + rows_.offset(s) + r) * layout_.state;
  }

  void start() {
    const auto& w = run_.weights;
    if (w.input_mask) rows_.gather(w.input_mask, shape_.input, scratch_.input_mask, layout_.input);
    if (w.recurrent_mask)
      rows_.gather(w.recurrent_mask, shape_.hidden, scratch_.recurrent_mask, layout_.state);
    // A row enters at its own last step with the gradients of h_n and c_n.
    rows_.gather(run_.grad_h_n, shape_.hidden, scratch_.joint, layout_.joint);
    rows_.gather(run_.grad_c_n, shape_.hidden, scratch_.cells, layout_.state);
    std::memset(scratch_.bias, 0, 4 * layout_.state * sizeof(T));
    std::memset(scratch_.weights, 0,
                (shape_.hidden + shape_.input) * layout_.forward_columns * sizeof(T));
  }

  void step_row(std::int64_t s, std::int64_t r, T* gates) {
    if (run_.grad_output.data)
      add_row(D(), joint(r), rows_.at(run_.grad_output, r, s), shape_.hidden);
    CellBackward<T> row;
    row.gates = saved_.gates + (rows_.offset(s) + r) * layout_.gates;
    row.c = saved_cell(s, r);
    row.c_before = saved_cell(s - 1, r);
    row.dh = joint(r);
    row.dc = cell(r);
    row.before = gates;
    row.bias = scratch_.bias;
    cell_backward(D(), row, shape_.hidden, layout_.state);
  }

  /// What finish_row writes, the next step_row reads, and add_weight_gradient reads of this step.
  Prefetch needed_after_product(std::int64_t s) const {
    Prefetch p;
    const std::int64_t size = sizeof(T);
    rows_.prefetch(p, run_.grad_input, s, shape_.input);
    p.add(saved_.joint + rows_.offset(s) * layout_.joint, 1, 0,
          rows_.active(s) * layout_.joint * size);
    if (s == 0) return p;
    p.add(saved_.gates + rows_.offset(s - 1) * layout_.gates, 1, 0,
          rows_.active(s - 1) * layout_.gates * size);
    p.add(saved_cell(s - 2, 0), 1, 0, rows_.active(s - 1) * layout_.state * size);
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

  /// dW[k][n] += Σ_row [h̃, x̃][row][k] · gates[row][n] over the block, which starts at saved row `from`.
  void add_weight_gradient(std::int64_t from, std::int64_t first) {
    const std::int64_t depth = shape_.hidden + shape_.input, rows = block_rows_ - first;
    if (rows == 0 || !(run_.grad_weight_ih || run_.grad_weight_hh)) return;
    const std::int64_t pieces = (rows + kLstmPanelRows - 1) / kLstmPanelRows;
    for (std::int64_t p = 0; p < gate_panels_.count(); ++p) {
      T* sum = scratch_.weights + gate_panels_.begin(p) * depth;
      const std::int64_t width = gate_panels_.width(p);
      for (std::int64_t i = 0; i < pieces; ++i) {
        const std::int64_t begin = i * rows / pieces, end = (i + 1) * rows / pieces;
        copy_panel(D(), scratch_.gates + (first + begin) * layout_.gates + gate_panels_.begin(p),
                   layout_.gates, end - begin, width, scratch_.panel);
        const Product<T> product{saved_.joint + (from + begin) * layout_.joint,
                                 1,
                                 layout_.joint,
                                 scratch_.panel,
                                 end - begin,
                                 sum,
                                 width,
                                 sum,
                                 width};
        Prefetch nothing;
        multiply_panel(D(), gate_panels_.vectors(p), product, depth, nothing);
      }
    }
  }

  void finish() {
    for (std::int64_t r = 0; r < rows_.count(); ++r) {
      const std::int64_t at = rows_.batch(r) * shape_.hidden;
      if (run_.grad_h0) std::memcpy(run_.grad_h0 + at, joint(r), shape_.hidden * sizeof(T));
      if (run_.grad_c0) std::memcpy(run_.grad_c0 + at, cell(r), shape_.hidden * sizeof(T));
    }
    if (run_.grad_input.data) rows_.clear_rest(run_.grad_input, shape_.steps, shape_.input);
  }

  const LstmShape shape_;
  const LstmLayout layout_;
  const LstmRows rows_;
  const LstmBackward<T>& run_;
  const LstmPacked<T> packed_;
  const LstmSaved<const T> saved_;
  const LstmBackwardScratch<T> scratch_;
  const std::int64_t block_rows_;
  const Panels gate_panels_, joint_panels_;
};

/// The rows of gate units [first, first + used) of weight_ih and weight_hh, out of a panel with its columns.
template <class T>
void unpack_panel(const LstmShape& shape, const LstmBackward<T>& run, const T* panel,
                  std::int64_t width, std::int64_t first, std::int64_t used) {
  if (T* to = run.grad_weight_hh)
    transpose(panel, width, shape.hidden, used, to + first * shape.hidden, shape.hidden);
  if (T* to = run.grad_weight_ih)
    transpose(panel + shape.hidden * width, width, shape.input, used, to + first * shape.input,
              shape.input);
}

/// Sums of all workers, in their order; the first one's memory takes them.
template <class T, class Scratch>
void reduce(const LstmPlan& plan, const LstmBackward<T>& run, const Scratch& scratch,
            const Panels& panels, std::int64_t p) {
  const hn::ScalableTag<T> d;
  const LstmShape& shape = plan.shape();
  const std::int64_t depth = shape.hidden + shape.input, first = panels.begin(p),
                     width = panels.width(p);
  T* sum = scratch(0).weights + first * depth;
  for (std::size_t w = 1; w < plan.slices().size(); ++w)
    add_row(d, sum, scratch(w).weights + first * depth, depth * width);
  unpack_panel(shape, run, sum, width, first, std::min(width, 4 * shape.hidden - first));
}

template <class T, class Scratch>
void reduce_bias(const LstmPlan& plan, const LstmBackward<T>& run, const Scratch& scratch) {
  const LstmLayout layout(plan.shape());
  const std::int64_t hidden = plan.shape().hidden;
  T* sum = scratch(0).bias;
  for (std::size_t w = 1; w < plan.slices().size(); ++w)
    add_row(hn::ScalableTag<T>(), sum, scratch(w).bias, 4 * layout.state);
  for (int gate = 0; gate < 4; ++gate)
    std::memcpy(run.grad_bias + gate * hidden, sum + gate * layout.state, hidden * sizeof(T));
}

/// The gradient of an empty batch.
template <class T>
void clear(const LstmShape& s, const LstmBackward<T>& run) {
  if (run.grad_weight_ih) lstm_copy<T>(run.grad_weight_ih, nullptr, 4 * s.hidden * s.input);
  if (run.grad_weight_hh) lstm_copy<T>(run.grad_weight_hh, nullptr, 4 * s.hidden * s.hidden);
  if (run.grad_bias) lstm_copy<T>(run.grad_bias, nullptr, 4 * s.hidden);
}

template <class T>
void backward(const LstmPlan& plan, const LstmBackward<T>& run) {
  note_simd_target(HWY_TARGET);
  const std::int64_t lanes = hn::Lanes(hn::ScalableTag<T>());
  const LstmShape& shape = plan.shape();
  const LstmLayout layout(shape);
  const int workers = static_cast<int>(plan.slices().size());
  if (workers == 0) return clear(shape, run);
  LstmPieces<T> pieces(run.workspace);
  LstmPacked<T> packed;
  packed.take(pieces, 4 * shape.hidden, layout.backward_columns);
  const auto scratch = [&](std::int64_t w) {
    return lstm_part<LstmBackwardScratch<T>>(
        plan, pieces, w,
        [&](auto& part, auto& from, auto& slice) { part.take(from, shape, layout, slice); });
  };
  std::memset(packed.start, 0, layout.backward_columns * sizeof(T));
  const Panels joint_panels(shape.hidden + (run.grad_input.data ? shape.input : 0), lanes);
  parallel_run(workers, [&](int w) {
    for (std::int64_t p = w; p < joint_panels.count(); p += workers)
      pack_panel(shape, run.weights, joint_panels, p, packed.weights);
  });
  parallel_run(workers, [&](int w) {
    const auto saved = lstm_part<LstmSaved<const T>>(
        plan, LstmPieces<const T>(run.saved), w,
        [&](auto& part, auto& from, auto& slice) { part.take(from, layout, slice); });
    Worker<T>(plan, run, packed, saved, scratch(w), w).work();
  });
  const Panels gate_panels(4 * shape.hidden, lanes);
  parallel_run(workers, [&](int w) {
    if (run.grad_weight_ih || run.grad_weight_hh)
      for (std::int64_t p = w; p < gate_panels.count(); p += workers)
        reduce(plan, run, scratch, gate_panels, p);
    if (w == 0 && run.grad_bias) reduce_bias(plan, run, scratch);
  });
}

}  // namespace

void lstm_backward_float(const LstmPlan& plan, const LstmBackward<float>& run) {
  backward(plan, run);
}
void lstm_backward_double(const LstmPlan& plan, const LstmBackward<double>& run) {
  backward(plan, run);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(lstm_backward_float);
HWY_EXPORT(lstm_backward_double);

void lstm_backward(const LstmPlan& plan, const LstmBackward<float>& run) {
  HWY_DYNAMIC_DISPATCH(lstm_backward_float)(plan, run);
}
void lstm_backward(const LstmPlan& plan, const LstmBackward<double>& run) {
  HWY_DYNAMIC_DISPATCH(lstm_backward_double)(plan, run);
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
