// LSTMN without a source as one autograd node: tapes in one buffer that attention reads in place, gradients summed where they
// belong. The definition, deep fusion and second derivatives: compose/lstmn.cpp.
#include "attend/ops/lstmn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>

#include "attend/base/error.h"
#include "ops/additive.h"
#include "ops/attention_arguments.h"
#include "ops/dispatch.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kLstmn = "attend::lstmn";

void check_lstmn(const at::Tensor& input, const LstmnWeights& w, const LstmnOptions& o) {
  ShapeCheck n(kLstmn);
  n("input", input, {"B", "T", "I"})("bias", w.bias, {"4H"})("tape_weight", w.tape_weight,
                                                             {"A", "H"});
  n("input_weight", w.input_weight, {"A", "I"})("summary_weight", w.summary_weight, {"A", "H"});
  n("score_weight", w.score_weight, {"A"})("weight", w.weight, {"4H", "H+I"});
  if (n.size("H+I") != n.size("H") + n.size("I"))
    fail_usage(std::string(kLstmn) + ": weight's columns is " + std::to_string(n.size("H+I")) +
               " but must be H + I = " + std::to_string(n.size("H") + n.size("I")));
  n.lengths("lengths", o.lengths, "T").at_least("H", n.size("H"), 1);
  if (o.before) {
    n("before.hidden", o.before->hidden, {"B", "t", "H"})("before.memory", o.before->memory,
                                                          {"B", "t", "H"});
    n("before.summary", o.before->summary, {"B", "H"});
    if (o.source) n("before.source_summary", o.before->source_summary, {"B", "H"});
    if (o.lengths.defined())
      fail_usage(std::string(kLstmn) + ": lengths and before exclude each other");
  }
  if (!o.source) return;
  const LstmnSource& s = *o.source;
  n("source.hidden", s.hidden, {"B", "S", "H"})("source.memory", s.memory, {"B", "S", "H"});
  n.lengths("source.lengths", s.lengths, "S");
  n("source.tape_weight", s.tape_weight, {"As", "H"})("source.input_weight", s.input_weight,
                                                      {"As", "I"});
  n("source.summary_weight", s.summary_weight, {"As", "H"})("source.score_weight", s.score_weight,
                                                            {"As"});
  n("source.gate_weight", s.gate_weight, {"H", "H+I"})("source.gate_bias", s.gate_bias, {"H"});
}

/// [B,T,1], true where a step is within its row's length; undefined when all are.
at::Tensor valid_steps(const at::Tensor& lengths, std::int64_t steps) {
  if (!lengths.defined()) return {};
  return (at::arange(steps, lengths.options()).unsqueeze(0) < lengths.unsqueeze(1)).unsqueeze(2);
}

void keep_valid(const at::Tensor& x, const at::Tensor& valid) {  // in place
  if (valid.defined()) x.masked_fill_(valid.logical_not(), 0);
}

/// What forward leaves for backward, and what both compute with. Sizes: input x [B,T,I], tape [B,T,2H] = (h, c), keys [B,T,A],
/// summary [B,T,2H] = (h̃, c̃), queries [B,T,A], gates [B,T,4H] activated: i, f, o, ĉ.
struct LstmnState {
  at::Tensor x, weight, bias, tape_weight, input_weight, summary_weight, score_weight, lengths;
  at::Tensor tape, keys, summary, queries, gates;

  variable_list saved() const {
    return {x,       weight, bias, tape_weight, input_weight, summary_weight, score_weight,
            lengths, tape,   keys, summary,     queries,      gates};
  }
  static LstmnState load(const variable_list& v) {
    return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12]};
  }
  static constexpr std::size_t kTensors = 13;  // the weights of steps 1 … follow, [B,1,t] each

  std::int64_t batch() const { return x.size(0); }
  std::int64_t steps() const { return x.size(1); }
  std::int64_t hidden() const { return weight.size(0) / 4; }
};

/// Attention of step t over the steps before it.
AttentionResult look_back(const LstmnState& s, std::int64_t t) {
  AttentionOptions o;
  o.need_weights = true;
  return additive_cpu(s.queries.narrow(1, t, 1), s.keys.narrow(1, 0, t), s.tape.narrow(1, 0, t),
                      s.score_weight, std::nullopt, ATTEND_ATTENTION_FROM(o));
}

/// (i, f, o) ← σ, ĉ ← tanh, c ← f c̃ + i ĉ, h ← o tanh(c) of one step: gates [B,4H] in place, tape [B,2H] written.
void lstmn_cell(const at::Tensor& gates, const at::Tensor& memory, const at::Tensor& tape) {
  const std::int64_t h = gates.size(1) / 4;
  gates.narrow(1, 0, 3 * h).sigmoid_();
  gates.narrow(1, 3 * h, h).tanh_();
  const at::Tensor i = gates.narrow(1, 0, h), f = gates.narrow(1, h, h);
  const at::Tensor o = gates.narrow(1, 2 * h, h), candidate = gates.narrow(1, 3 * h, h);
  const at::Tensor c = tape.narrow(1, h, h);
  c.copy_(f * memory).addcmul_(i, candidate);
  tape.narrow(1, 0, h).copy_(o * c.tanh());
}

/// Runs all steps; returns the weights of steps 1 … T − 1.
variable_list run_lstmn(LstmnState& s) {
  const std::int64_t h = s.hidden(), steps = s.steps();
  const auto options = s.x.options();
  s.queries = at::linear(s.x, s.input_weight);
  s.gates = at::linear(s.x, s.weight.narrow(1, h, s.x.size(2)), s.bias);
  s.tape = at::empty({s.batch(), steps, 2 * h}, options);
  s.keys = at::empty({s.batch(), steps, s.tape_weight.size(0)}, options);
  s.summary = at::zeros({s.batch(), steps, 2 * h}, options);
  const at::Tensor valid = valid_steps(s.lengths, steps);
  const at::Tensor from_hidden = s.weight.narrow(1, 0, h).t(), to_key = s.tape_weight.t();
  variable_list weights;
  for (std::int64_t t = 0; t < steps; ++t) {
    const at::Tensor gates = s.gates.select(1, t), summary = s.summary.select(1, t);
    if (t > 0) {
      const at::Tensor before = s.summary.select(1, t - 1).narrow(1, 0, h);
      s.queries.select(1, t).addmm_(before, s.summary_weight.t());
      const auto [seen, seen_weights] = look_back(s, t);
      summary.copy_(seen.squeeze(1));
      weights.push_back(seen_weights);
      gates.addmm_(summary.narrow(1, 0, h), from_hidden);
    }
    const at::Tensor tape = s.tape.select(1, t);
    lstmn_cell(gates, summary.narrow(1, h, h), tape);
    keep_valid(tape, valid.defined() ? valid.select(1, t) : valid);
    s.keys.select(1, t).copy_(at::mm(tape.narrow(1, 0, h), to_key));
  }
  return weights;
}

/// Gradients of all that a LstmnState was made from, the last step first.
class LstmnBackward {
 public:
  LstmnBackward(const LstmnState& s, const variable_list& weights, const variable_list& grads)
      : s_(s),
        weights_(weights),
        grad_weights_(grads[2]),
        valid_(valid_steps(s.lengths, s.steps())),
        d_tape_(at::cat({or_zero(grads[0]), or_zero(grads[1])}, 2)),
        d_keys_(at::zeros_like(s.keys)),
        d_gates_(at::empty(s.gates.sizes(), s.gates.options())),
        d_queries_(at::zeros_like(s.queries)),
        d_score_weight_(at::zeros_like(s.score_weight)) {
    if (grad_weights_.defined() && valid_.defined())
      grad_weights_ = grad_weights_.masked_fill(valid_.logical_not(), 0);
    keep_valid(d_tape_, valid_);
  }

  /// input, weight, bias, tape_weight, input_weight, summary_weight, score_weight.
  variable_list run() {
    const std::int64_t h = s_.hidden(), inputs = s_.x.size(2);
    at::Tensor d_before;  // of h̃, from the query of the step behind
    for (std::int64_t t = s_.steps() - 1; t >= 0; --t) d_before = step(t, d_before);
    const auto rows = [](const at::Tensor& x) { return x.flatten(0, 1); };
    const at::Tensor gates = rows(d_gates_).t(), x = rows(s_.x);
    at::Tensor d_input = at::matmul(d_gates_, s_.weight.narrow(1, h, inputs)) +
                         at::matmul(d_queries_, s_.input_weight);
    keep_valid(d_input, valid_);
    at::Tensor d_summary_weight = at::zeros_like(s_.summary_weight);
    if (const std::int64_t behind = s_.steps() - 1;
        behind > 0)  // of step t with the summary before it
      d_summary_weight = at::mm(rows(d_queries_.narrow(1, 1, behind)).t(),
                                rows(s_.summary.narrow(1, 0, behind).narrow(2, 0, h)));
    return {d_input,
            at::cat({at::mm(gates, rows(s_.summary.narrow(2, 0, h))), at::mm(gates, x)}, 1),
            rows(d_gates_).sum(0),
            at::mm(rows(d_keys_).t(), rows(s_.tape.narrow(2, 0, h))),
            at::mm(rows(d_queries_).t(), x),
            d_summary_weight,
            d_score_weight_};
  }

 private:
  at::Tensor or_zero(const at::Tensor& grad) const {
    return grad.defined() ? grad : at::zeros({s_.batch(), s_.steps(), s_.hidden()}, s_.x.options());
  }

  /// d_before [B,H] of this step's summary h̃, undefined for none; returns that of the step before it.
  at::Tensor step(std::int64_t t, const at::Tensor& d_before) {
    const std::int64_t h = s_.hidden();
    const at::Tensor d_tape = d_tape_.select(1, t);
    d_tape.narrow(1, 0, h).addmm_(d_keys_.select(1, t), s_.tape_weight);
    keep_valid(d_tape, valid_.defined() ? valid_.select(1, t) : valid_);
    const at::Tensor d_memory = cell(t, d_tape);
    if (t == 0) return {};
    at::Tensor d_summary = at::mm(d_gates_.select(1, t), s_.weight.narrow(1, 0, h));
    if (d_before.defined()) d_summary = d_summary + d_before;
    look(t, at::cat({d_summary, d_memory}, 1).unsqueeze(1));
    return at::mm(d_queries_.select(1, t), s_.summary_weight);
  }

  /// Gradients before activation into d_gates_; returns that of c̃ [B,H].
  at::Tensor cell(std::int64_t t, const at::Tensor& d_tape) {
    const std::int64_t h = s_.hidden();
    const at::Tensor gates = s_.gates.select(1, t), out = d_gates_.select(1, t);
    const at::Tensor i = gates.narrow(1, 0, h), f = gates.narrow(1, h, h);
    const at::Tensor o = gates.narrow(1, 2 * h, h), candidate = gates.narrow(1, 3 * h, h);
    const at::Tensor memory = s_.summary.select(1, t).narrow(1, h, h);
    const at::Tensor bent = s_.tape.select(1, t).narrow(1, h, h).tanh();
    const at::Tensor d_hidden = d_tape.narrow(1, 0, h);
    const at::Tensor d_cell = d_tape.narrow(1, h, h) + d_hidden * o * (1 - bent * bent);
    out.narrow(1, 0, h).copy_(d_cell * candidate * i * (1 - i));
    out.narrow(1, h, h).copy_(d_cell * memory * f * (1 - f));
    out.narrow(1, 2 * h, h).copy_(d_hidden * bent * o * (1 - o));
    out.narrow(1, 3 * h, h).copy_(d_cell * i * (1 - candidate * candidate));
    return d_cell * f;
  }

  /// Back through the attention of step t; d_seen [B,1,2H].
  void look(std::int64_t t, const at::Tensor& d_seen) {
    OptionalTensor d_weights;
    if (grad_weights_.defined()) d_weights = grad_weights_.narrow(1, t, 1).narrow(2, 0, t);
    const AttentionOptions o;
    const auto [d_query, d_key, d_value, d_score, unused] = additive_backward_cpu(
        d_seen, d_weights, s_.queries.narrow(1, t, 1), s_.keys.narrow(1, 0, t),
        s_.tape.narrow(1, 0, t), s_.score_weight, std::nullopt,
        weights_[static_cast<std::size_t>(t - 1)], false, true, ATTEND_ATTENTION_FROM(o));
    d_queries_.select(1, t).copy_(d_query.squeeze(1));
    d_keys_.narrow(1, 0, t).add_(d_key);
    d_tape_.narrow(1, 0, t).add_(d_value);
    d_score_weight_.add_(d_score);
  }

  const LstmnState& s_;
  const variable_list& weights_;
  at::Tensor grad_weights_, valid_, d_tape_, d_keys_, d_gates_, d_queries_, d_score_weight_;
};

/// The weights of all steps as one [B,T,T]: nothing on and above the diagonal, nor beyond a length.
at::Tensor gathered(const LstmnState& s, const variable_list& weights) {
  const at::Tensor out = at::zeros({s.batch(), s.steps(), s.steps()}, s.x.options());
  for (std::int64_t t = 1; t < s.steps(); ++t)
    out.narrow(1, t, 1).narrow(2, 0, t).copy_(weights[static_cast<std::size_t>(t - 1)]);
  keep_valid(out, valid_steps(s.lengths, s.steps()));
  return out;
}

struct LstmnFunction : torch::autograd::Function<LstmnFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& input,
                               const at::Tensor& weight, const at::Tensor& bias,
                               const at::Tensor& tape_weight, const at::Tensor& input_weight,
                               const at::Tensor& summary_weight, const at::Tensor& score_weight,
                               const OptionalTensor& given_lengths, bool need_weights) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    const at::Tensor lengths = or_undefined(given_lengths);
    LstmnState s{
        input, weight, bias, tape_weight, input_weight, summary_weight, score_weight, lengths, {},
        {},    {},     {},   {}};
    if (lengths.defined())
      s.x = input.masked_fill(valid_steps(lengths, input.size(1)).logical_not(), 0);
    const variable_list weights = run_lstmn(s);
    variable_list kept = s.saved();
    kept[0] = input;  // as it was given, for the graph
    kept.insert(kept.end(), weights.begin(), weights.end());
    ctx->save_for_backward(kept);
    const std::int64_t h = s.hidden();
    variable_list out{s.tape.narrow(2, 0, h).contiguous(), s.tape.narrow(2, h, h).contiguous()};
    if (need_weights) out.push_back(gathered(s, weights));
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    grads.resize(3);  // weights come third where they were asked for
    variable_list found(9);
    if (!grads[0].defined() && !grads[1].defined() && !grads[2].defined()) return found;
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      const variable_list inputs(saved.begin(), saved.begin() + 7);
      const auto again = gradients_by_recomposing(inputs, grads, [&](const variable_list& in) {
        LstmnOptions o;
        o.lengths = saved[7], o.need_weights = true;
        const LstmnResult r = compose::lstmn(in[0], {in[1], in[2], in[3], in[4], in[5], in[6]}, o);
        return variable_list{r.hidden, r.memory, r.weights};
      });
      std::copy(again.begin(), again.end(), found.begin());
      return found;
    }
    LstmnState s = LstmnState::load(saved);
    if (s.lengths.defined())
      s.x = s.x.masked_fill(valid_steps(s.lengths, s.steps()).logical_not(), 0);
    const variable_list weights(saved.begin() + LstmnState::kTensors, saved.end());
    const variable_list gradients = LstmnBackward(s, weights, grads).run();
    std::copy(gradients.begin(), gradients.end(), found.begin());
    note_fused("attend::lstmn_backward");
    return found;
  }
};

}  // namespace

LstmnResult lstmn(const at::Tensor& input, const LstmnWeights& w, const LstmnOptions& options) {
  check_lstmn(input, w, options);
  const char* reason = options.source ? "a source is attended to as well"
                       : options.before
                           ? "it goes on from tapes"
                           : why_not_fused({&input, &w.weight, &w.bias, &w.tape_weight});
  if (reason || input.size(1) == 0) {
    const LstmnResult out = compose::lstmn(input, w, options);
    note_composed(kLstmn, reason ? reason : "there is no step");
    return out;
  }
  const variable_list out =
      LstmnFunction::apply(input, w.weight, w.bias, w.tape_weight, w.input_weight, w.summary_weight,
                           w.score_weight, or_none(options.lengths), options.need_weights);
  note_fused(kLstmn);
  return {out[0], out[1], options.need_weights ? out[2] : at::Tensor(), {}, {}, {}};
}

}  // namespace attend
