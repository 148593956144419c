// GRU forward: attend/kernels/gru.h says what, layout.h how memory is laid out.
#include "attend/base/threads.h"
#include "kernels/gru/layout.h"
#include "kernels/lstm/rows.h"
#include "kernels/simd/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gru/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/gru/cell-inl.h"
#include "kernels/lstm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// The panels of the three matrices: the columns of u, of [r z] and of a.
template <class T>
struct GruForwardPanels {
  Panels hidden, gates;  // a has as many columns as u

  explicit GruForwardPanels(const LstmShape& s)
      : hidden(s.hidden, hn::Lanes(hn::ScalableTag<T>())),
        gates(2 * s.hidden, hn::Lanes(hn::ScalableTag<T>())) {}
};

/// Rows [first_row, first_row + depth_here) of panel p of a packed matrix: the transpose of weights [columns][depth_here].
template <class T>
void gru_pack(const Panels& panels, std::int64_t p, const T* weights, std::int64_t depth_here,
              std::int64_t depth, std::int64_t first_row, T* packed) {
  const std::int64_t width = panels.width(p), first = panels.begin(p),
                     used = std::min(width, panels.columns() - first);
  T* to = packed + first * depth + first_row * width;
  if (used < width) std::memset(to, 0, depth_here * width * sizeof(T));
  transpose(weights + first * depth_here, depth_here, used, depth_here, to, width);
}

template <class T>
void gru_pack_all(const LstmShape& s, const GruWeights<T>& w, const GruMatrices<T>& packed,
                  int worker, int workers) {
  const GruForwardPanels<T> panels(s);
  const std::int64_t h = s.hidden, depth = h + s.input;
  for (std::int64_t p = worker; p < panels.gates.count(); p += workers) {
    gru_pack(panels.gates, p, w.weight_hh, h, depth, 0, packed.gates);
    gru_pack(panels.gates, p, w.weight_ih, s.input, depth, h, packed.gates);
  }
  for (std::int64_t p = worker; p < panels.hidden.count(); p += workers) {
    gru_pack(panels.hidden, p, w.weight_hh + 2 * h * h, h, h, 0, packed.hidden);
    gru_pack(panels.hidden, p, w.weight_ih + 2 * h * s.input, s.input, s.input, 0, packed.input);
  }
}

/// b_ih + b_hh for r and z; for n apart where the reset comes between them.
template <class T>
void gru_start(const LstmShape& s, const GruForward<T>& run, const GruStart<T>& start) {
  const auto value = [](const T* bias, std::int64_t i) { return bias ? bias[i] : T(0); };
  const std::int64_t h = s.hidden;
  std::memset(start.hidden, 0, lstm_padded(h) * sizeof(T));
  std::memset(start.gates, 0, lstm_padded(2 * h) * sizeof(T));
  std::memset(start.input, 0, lstm_padded(h) * sizeof(T));
  for (std::int64_t i = 0; i < 2 * h; ++i)
    start.gates[i] = value(run.bias_ih, i) + value(run.bias_hh, i);
  for (std::int64_t i = 0; i < h; ++i) {
    const T of_input = value(run.bias_ih, 2 * h + i), of_hidden = value(run.bias_hh, 2 * h + i);
    const bool apart = run.weights.form == GruForm::kResetAfter;
    start.hidden[i] = apart ? of_hidden : T(0);
    start.input[i] = apart ? of_input : of_input + of_hidden;
  }
}

/// One worker's rows, all steps.
template <class T, GruForm kForm>
class GruForwardWorker {
  using D = hn::ScalableTag<T>;

 public:
  GruForwardWorker(const LstmPlan& plan, const GruForward<T>& run, const GruMatrices<T>& packed,
                   const GruStart<T>& first, const LstmSaved<T>& saved,
                   const LstmForwardScratch<T>& scratch, std::int64_t slice)
      : shape_(plan.shape()),
        layout_(plan.shape()),
        rows_(plan, plan.slices()[slice]),
        run_(run),
        packed_(packed),
        first_(first),
        scratch_(scratch),
        joint_(run.saved ? saved.joint : scratch.joint),
        gates_(run.saved ? saved.gates : scratch.gates),
        states_(run.saved ? saved.cells : scratch.cells),
        panels_(plan.shape()) {}

  void work() {
    start();
    for (std::int64_t s = 0; s < rows_.steps(); ++s) {
      load_input(s);
      multiply_step(s);
      for (std::int64_t r = 0; r < rows_.active(s); ++r) step_row(s, r);
    }
    rows_.clear_rest(run_.output, shape_.steps, shape_.hidden);
  }

 private:
  // When nothing is saved every step uses the same rows.
  std::int64_t at(std::int64_t s, std::int64_t r) const {
    return (run_.saved ? rows_.offset(s) : 0) + r;
  }
  T* joint(std::int64_t s, std::int64_t r) const { return joint_ + at(s, r) * layout_.joint; }
  T* gates(std::int64_t s, std::int64_t r) const { return gates_ + at(s, r) * layout_.gates; }
  T* state_after(std::int64_t s, std::int64_t r) const {
    return states_ + ((run_.saved ? rows_.count() : 0) + at(s, r)) * layout_.state;
  }
  T* state_before(std::int64_t s, std::int64_t r) const {
    return s == 0 ? states_ + r * layout_.state : state_after(s - 1, r);
  }
  const T* recurrent_mask(std::int64_t r) const {
    return run_.weights.recurrent_mask ? scratch_.recurrent_mask + r * layout_.state : nullptr;
  }

  void start() {
    const auto& w = run_.weights;
    if (w.input_mask) rows_.gather(w.input_mask, shape_.input, scratch_.input_mask, layout_.input);
    if (w.recurrent_mask)
      rows_.gather(w.recurrent_mask, shape_.hidden, scratch_.recurrent_mask, layout_.state);
    rows_.gather(run_.h0, shape_.hidden, states_, layout_.state);
    for (std::int64_t r = 0; r < rows_.count(); ++r) {
      const T* h0 = state_before(0, r);
      if (r >= rows_.active(0)) {
        lstm_copy(run_.h_n + rows_.batch(r) * shape_.hidden, h0, shape_.hidden);
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

  void multiply_step(std::int64_t s) {
    const std::int64_t n = rows_.active(s), h = shape_.hidden, joint_stride = layout_.joint,
                       stride = layout_.gates;
    T *const x = joint(s, 0), *const g = gates(s, 0);
    if constexpr (kForm == GruForm::kResetAfter)
      multiply(D(), panels_.hidden,
               Product<T>{x, joint_stride, 1, packed_.hidden, h, first_.hidden, 0, g, stride}, n);
    multiply(D(), panels_.gates,
             Product<T>{x, joint_stride, 1, packed_.gates, h + shape_.input, first_.gates, 0, g + h,
                        stride},
             n, needed_after_product(s));
    multiply(D(), panels_.hidden,
             Product<T>{x + h, joint_stride, 1, packed_.input, shape_.input, first_.input, 0,
                        g + 3 * h, stride},
             n);
    if constexpr (kForm == GruForm::kResetBefore) {
      for (std::int64_t r = 0; r < n; ++r) gru_reset(D(), gates(s, r), joint(s, r), h);
      multiply(D(), panels_.hidden,
               Product<T>{g, stride, 1, packed_.hidden, h, g + 3 * h, stride, g + 3 * h, stride},
               n);
    }
  }

  /// What step_row writes, and the next load_input and product read or write.
  Prefetch needed_after_product(std::int64_t s) const {
    Prefetch p;
    if (!run_.saved) return p;
    const std::int64_t next = rows_.active(s + 1), size = sizeof(T);
    p.add(state_after(s, 0), 1, 0, rows_.active(s) * layout_.state * size);
    if (next > 0) p.add(joint(s + 1, 0), 1, 0, next * layout_.joint * size);
    if (next > 0) p.add(gates(s + 1, 0), 1, 0, next * layout_.gates * size);
    rows_.prefetch(p, run_.output, s, shape_.hidden);
    rows_.prefetch(p, run_.input, s + 1, shape_.input);
    return p;
  }

  void step_row(std::int64_t s, std::int64_t r) {
    const bool last = r >= rows_.active(s + 1);
    GruCellForward<T> row;
    row.gates = gates(s, r);
    row.h_before = state_before(s, r);
    row.state = state_after(s, r);
    row.h = rows_.at(run_.output, r, s);
    row.h_next = last ? nullptr : joint(s + 1, r);
    row.recurrent_mask = recurrent_mask(r);
    gru_cell_forward<kForm>(D(), row, shape_.hidden);
    if (last)
      std::memcpy(run_.h_n + rows_.batch(r) * shape_.hidden, row.h, shape_.hidden * sizeof(T));
  }

  const LstmShape shape_;
  const LstmLayout layout_;
  const LstmRows rows_;
  const GruForward<T>& run_;
  const GruMatrices<T> packed_;
  const GruStart<T> first_;
  const LstmForwardScratch<T> scratch_;
  T *joint_, *gates_, *states_;
  const GruForwardPanels<T> panels_;
};

template <class T>
void gru_forward_all(const LstmPlan& plan, const GruForward<T>& run) {
  note_simd_target(HWY_TARGET);
  const LstmShape& shape = plan.shape();
  const LstmLayout layout(shape);
  const int workers = static_cast<int>(plan.slices().size());
  LstmPieces<T> pieces(run.workspace);
  GruMatrices<T> packed;
  packed.take_forward(pieces, shape);
  GruStart<T> start;
  start.take(pieces, shape);
  gru_start(shape, run, start);
  parallel_run(workers, [&](int w) { gru_pack_all(shape, run.weights, packed, w, workers); });
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
    if (run.weights.form == GruForm::kResetAfter)
      GruForwardWorker<T, GruForm::kResetAfter>(plan, run, packed, start, saved, scratch, w).work();
    else
      GruForwardWorker<T, GruForm::kResetBefore>(plan, run, packed, start, saved, scratch, w)
          .work();
  });
}

}  // namespace

void gru_forward_float(const LstmPlan& plan, const GruForward<float>& run) {
  gru_forward_all(plan, run);
}
void gru_forward_double(const LstmPlan& plan, const GruForward<double>& run) {
  gru_forward_all(plan, run);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(gru_forward_float);
HWY_EXPORT(gru_forward_double);

void gru_forward(const LstmPlan& plan, const GruForward<float>& run) {
  HWY_DYNAMIC_DISPATCH(gru_forward_float)(plan, run);
}
void gru_forward(const LstmPlan& plan, const GruForward<double>& run) {
  HWY_DYNAMIC_DISPATCH(gru_forward_double)(plan, run);
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
