// LSTM forward: attend/kernels/lstm.h says what, layout.h how memory is laid out.
#include "attend/kernels/lstm.h"

#include "attend/base/threads.h"
#include "kernels/lstm/layout.h"
#include "kernels/lstm/rows.h"
#include "kernels/simd/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lstm/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/lstm/cell-inl.h"
#include "kernels/lstm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Row k of the packed matrix holds what unit k of [h̃, x̃] contributes to each gate.
template <class T>
void pack_panel(const LstmShape& shape, const LstmWeights<T>& w, const Panels& panels,
                std::int64_t p, T* packed) {
  const std::int64_t depth = shape.hidden + shape.input, width = panels.width(p),
                     first = panels.begin(p);
  T* const hh = packed + first * depth;
  T* const ih = hh + shape.hidden * width;
  const std::int64_t used = std::min(width, 4 * shape.hidden - first);
  if (used < width) std::memset(hh, 0, depth * width * sizeof(T));
  transpose(w.weight_hh + first * shape.hidden, shape.hidden, used, shape.hidden, hh, width);
  transpose(w.weight_ih + first * shape.input, shape.input, used, shape.input, ih, width);
}

/// One worker's rows, all steps.
template <class T>
class Worker {
  using D = hn::ScalableTag<T>;

 public:
  Worker(const LstmPlan& plan, const LstmForward<T>& run, const LstmPacked<T>& packed,
         const LstmSaved<T>& saved, const LstmForwardScratch<T>& scratch, std::int64_t slice)
      : shape_(plan.shape()),
        layout_(plan.shape()),
        rows_(plan, plan.slices()[slice]),
        run_(run),
        packed_(packed),
        scratch_(scratch),
        joint_(run.saved ? saved.joint : scratch.joint),
        gates_(run.saved ? saved.gates : scratch.gates),
        cells_(run.saved ? saved.cells : scratch.cells),
        panels_(4 * shape_.hidden, hn::Lanes(D())) {}

  void work() {
    start();
    for (std::int64_t s = 0; s < rows_.steps(); ++s) {
      load_input(s);
      const Product<T> product{joint(s, 0),
                               layout_.joint,
                               1,
                               packed_.weights,
                               shape_.hidden + shape_.input,
                               packed_.start,
                               0,
                               gates(s, 0),
                               layout_.gates};
      multiply(D(), panels_, product, rows_.active(s), needed_after_product(s));
      for (std::int64_t r = 0; r < rows_.active(s); ++r) step_row(s, r);
    }
    rows_.clear_rest(run_.output, shape_.steps, shape_.hidden);
  }

 private:
  // When nothing is saved every step uses the same rows.
  T* joint(std::int64_t s, std::int64_t r) const {
    return joint_ + ((run_.saved ? rows_.offset(s) : 0) + r) * layout_.joint;
  }
  T* cell_after(std::int64_t s, std::int64_t r) const {
    return cells_ + ((run_.saved ? rows_.count() + rows_.offset(s) : 0) + r) * layout_.state;
  }
  T* gates(std::int64_t s, std::int64_t r) const {
    return gates_ + ((run_.saved ? rows_.offset(s) : 0) + r) * layout_.gates;
  }
  T* cell_before(std::int64_t s, std::int64_t r) const {
    return s == 0 ? cells_ + r * layout_.state : cell_after(s - 1, r);
  }
  const T* recurrent_mask(std::int64_t r) const {
    return run_.weights.recurrent_mask ? scratch_.recurrent_mask + r * layout_.state : nullptr;
  }

  void start() {
    const auto& w = run_.weights;
    if (w.input_mask) rows_.gather(w.input_mask, shape_.input, scratch_.input_mask, layout_.input);
    if (w.recurrent_mask)
      rows_.gather(w.recurrent_mask, shape_.hidden, scratch_.recurrent_mask, layout_.state);
    rows_.gather(run_.c0, shape_.hidden, cells_, layout_.state);
    for (std::int64_t r = 0; r < rows_.count(); ++r) {
      const T* h0 = run_.h0 ? run_.h0 + rows_.batch(r) * shape_.hidden : nullptr;
      if (r >= rows_.active(0)) {
        lstm_copy(run_.h_n + rows_.batch(r) * shape_.hidden, h0, shape_.hidden);
        lstm_copy(run_.c_n + rows_.batch(r) * shape_.hidden, cell_before(0, r), shape_.hidden);
        continue;
      }
      lstm_copy(joint(0, r), h0, shape_.hidden);
      if (recurrent_mask(r)) multiply_row(D(), joint(0, r), recurrent_mask(r), shape_.hidden);
    }
  }

  // After h̃, whose last vector may spill into x̃.
  void load_input(std::int64_t s) {
    for (std::int64_t r = 0; r < rows_.active(s); ++r) {
      T* x = joint(s, r) + shape_.hidden;
      std::memcpy(x, rows_.at(run_.input, r, s), shape_.input * sizeof(T));
      if (run_.weights.input_mask)
        multiply_row(D(), x, scratch_.input_mask + r * layout_.input, shape_.input);
    }
  }

  /// What step_row writes and the next load_input reads.
  Prefetch needed_after_product(std::int64_t s) const {
    Prefetch p;
    if (!run_.saved) return p;
    const std::int64_t n = rows_.active(s), next = rows_.active(s + 1), size = sizeof(T);
    p.add(cell_after(s, 0), 1, 0, n * layout_.state * size);
    if (next > 0) p.add(joint(s + 1, 0), 1, 0, next * layout_.joint * size);
    if (next > 0) p.add(gates(s + 1, 0), 1, 0, next * layout_.gates * size);
    rows_.prefetch(p, run_.output, s, shape_.hidden);
    rows_.prefetch(p, run_.input, s + 1, shape_.input);
    return p;
  }

  void step_row(std::int64_t s, std::int64_t r) {
    const bool last = r >= rows_.active(s + 1);
    CellForward<T> row;
    row.gates = gates(s, r);
    row.keep_gates = run_.saved;
    row.c_before = cell_before(s, r);
    row.c = cell_after(s, r);
    row.h = rows_.at(run_.output, r, s);
    row.h_next = last ? nullptr : joint(s + 1, r);
    row.recurrent_mask = recurrent_mask(r);
    cell_forward(D(), row, shape_.hidden);
    if (!last) return;
    std::memcpy(run_.h_n + rows_.batch(r) * shape_.hidden, row.h, shape_.hidden * sizeof(T));
    std::memcpy(run_.c_n + rows_.batch(r) * shape_.hidden, row.c, shape_.hidden * sizeof(T));
  }

  const LstmShape shape_;
  const LstmLayout layout_;
  const LstmRows rows_;
  const LstmForward<T>& run_;
  const LstmPacked<T> packed_;
  const LstmForwardScratch<T> scratch_;
  T *joint_, *gates_, *cells_;
  const Panels panels_;
};

template <class T>
void forward(const LstmPlan& plan, const LstmForward<T>& run) {
  note_simd_target(HWY_TARGET);
  const LstmShape& shape = plan.shape();
  const LstmLayout layout(shape);
  const Panels panels(4 * shape.hidden, hn::Lanes(hn::ScalableTag<T>()));
  const int workers = static_cast<int>(plan.slices().size());
  LstmPieces<T> pieces(run.workspace);
  LstmPacked<T> packed;
  packed.take(pieces, shape.hidden + shape.input, layout.forward_columns);
  std::memset(packed.start, 0, layout.forward_columns * sizeof(T));
  std::memcpy(packed.start, run.bias, 4 * shape.hidden * sizeof(T));
  parallel_run(workers, [&](int w) {
    for (std::int64_t p = w; p < panels.count(); p += workers)
      pack_panel(shape, run.weights, panels, p, packed.weights);
  });
  parallel_run(workers, [&](int w) {
    const bool training = run.saved != nullptr;
    const auto scratch = lstm_part<LstmForwardScratch<T>>(
        plan, pieces, w,
        [&](auto& part, auto& from, auto& slice) { part.take(from, layout, slice, training); });
    LstmSaved<T> saved;
    if (training)
      saved = lstm_part<LstmSaved<T>>(
          plan, LstmPieces<T>(run.saved), w,
          [&](auto& part, auto& from, auto& slice) { part.take(from, layout, slice); });
    Worker<T>(plan, run, packed, saved, scratch, w).work();
  });
}

}  // namespace

void lstm_forward_float(const LstmPlan& plan, const LstmForward<float>& run) { forward(plan, run); }
void lstm_forward_double(const LstmPlan& plan, const LstmForward<double>& run) {
  forward(plan, run);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(lstm_forward_float);
HWY_EXPORT(lstm_forward_double);

void lstm_forward(const LstmPlan& plan, const LstmForward<float>& run) {
  HWY_DYNAMIC_DISPATCH(lstm_forward_float)(plan, run);
}
void lstm_forward(const LstmPlan& plan, const LstmForward<double>& run) {
  HWY_DYNAMIC_DISPATCH(lstm_forward_double)(plan, run);
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
