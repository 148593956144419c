#include "attend/ops/lstmn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <string>
#include <vector>

namespace attend::compose {
namespace {

/// Attention of one step over a hidden and a memory tape that stand side by side, [B,L,2H].
class TapeReader {
 public:
  TapeReader(const at::Tensor& summary_weight, const at::Tensor& score_weight,
             const at::Tensor& first_summary, bool need_weights)
      : summary_weight_(summary_weight), score_weight_(score_weight), summary_(first_summary) {
    options_.need_weights = need_weights;
  }
  void set_lengths(const at::Tensor& lengths) { options_.key_lengths = lengths; }

  /// (hidden, memory) [B,H] each. from_input [B,A] = W_x x_t; keys [B,L,A] the projected tape; tapes [B,L,2H].
  std::pair<at::Tensor, at::Tensor> read(const at::Tensor& from_input, const at::Tensor& keys,
                                         const at::Tensor& tapes) {
    const at::Tensor query = from_input + at::linear(summary_, summary_weight_);  // [B,A]
    const auto [read, weights] =
        attend::additive(query.unsqueeze(1), keys, tapes, score_weight_, options_);
    weights_ = weights;
    const std::vector<at::Tensor> halves = read.squeeze(1).chunk(2, 1);
    summary_ = halves[0];
    return {halves[0], halves[1]};
  }
  const at::Tensor& weights() const { return weights_; }  // [B,1,L]
  const at::Tensor& summary() const { return summary_; }  // [B,H]

 private:
  at::Tensor summary_weight_, score_weight_, summary_, weights_;
  AttentionOptions options_;
};

/// The parts of an LSTMN step that are the same for all steps, or grow by one step at a time.
class LstmnRun {
 public:
  LstmnRun(const at::Tensor& input, const LstmnWeights& w, const LstmnOptions& o)
      : w_(w),
        o_(o),
        steps_(input.size(1)),
        input_(visible_input(input)),
        nothing_(at::zeros({input.size(0), w.bias.size(0) / 4}, input.options())),
        from_input_(at::linear(input_, w.input_weight)),
        own_(w.summary_weight, w.score_weight, o.before ? o.before->summary : nothing_,
             o.need_weights),
        source_(o.source ? o.source->summary_weight : at::Tensor(),
                o.source ? o.source->score_weight : at::Tensor(),
                o.before && o.source ? o.before->source_summary : nothing_, o.need_weights) {
    if (o.before && o.before->hidden.size(1) > 0) {
      earlier_ = o.before->hidden.size(1);
      earlier_tapes_ = at::cat({o.before->hidden, o.before->memory}, 2);
      earlier_keys_ = at::linear(o.before->hidden, w.tape_weight);
    }
    if (!o.source) return;
    source_.set_lengths(o.source->lengths);
    source_keys_ = at::linear(o.source->hidden, o.source->tape_weight);  // [B,S,A]
    source_tapes_ = at::cat({o.source->hidden, o.source->memory}, 2);    // [B,S,2H]
    source_from_input_ = at::linear(input_, o.source->input_weight);     // [B,T,A]
  }

  LstmnResult run() {
    for (std::int64_t t = 0; t < steps_; ++t) step(t);
    const std::int64_t batch = input_.size(0), hidden = nothing_.size(1);
    const auto stacked = [&](const std::vector<at::Tensor>& rows, std::int64_t width) {
      return rows.empty() ? at::zeros({batch, 0, width}, input_.options()) : at::stack(rows, 1);
    };
    LstmnResult out;
    const std::vector<at::Tensor> tapes = stacked(tapes_, 2 * hidden).chunk(2, 2);
    out.hidden = tapes[0], out.memory = tapes[1];
    if (o_.need_weights) out.weights = stacked(weights_, earlier_ + steps_);
    if (o_.before) out.summary = own_.summary();
    if (o_.before && o_.source) out.source_summary = source_.summary();
    if (o_.need_weights && o_.source)
      out.source_weights = stacked(source_weights_, o_.source->hidden.size(1));
    return out;
  }

 private:
  at::Tensor visible_input(const at::Tensor& input) {
    if (!o_.lengths.defined()) return input;
    const at::Tensor t = at::arange(input.size(1), o_.lengths.options());
    valid_ = (t.unsqueeze(0) < o_.lengths.unsqueeze(1)).unsqueeze(2);  // [B,T,1]
    return input.masked_fill(valid_.logical_not(), 0);
  }

  at::Tensor only_valid(const at::Tensor& t, std::int64_t step) const {
    return valid_.defined() ? t.masked_fill(valid_.select(1, step).logical_not(), 0) : t;
  }

  static at::Tensor joined(const at::Tensor& earlier, const std::vector<at::Tensor>& rows) {
    if (rows.empty()) return earlier;
    const at::Tensor own = at::stack(rows, 1);
    return earlier.defined() ? at::cat({earlier, own}, 1) : own;
  }

  void step(std::int64_t t) {
    const at::Tensor x = input_.select(1, t);  // [B,I]
    at::Tensor summary = nothing_, memory = nothing_;
    const std::int64_t before = earlier_ + t;
    if (before > 0)
      std::tie(summary, memory) = own_.read(from_input_.select(1, t), joined(earlier_keys_, keys_),
                                            joined(earlier_tapes_, tapes_));
    const std::vector<at::Tensor> gates =
        at::linear(at::cat({summary, x}, 1), w_.weight, w_.bias).chunk(4, 1);  // i f o ĉ, [B,H]
    at::Tensor c = gates[1].sigmoid() * memory + gates[0].sigmoid() * gates[3].tanh();
    if (o_.source) {
      const auto [seen, brought] =
          source_.read(source_from_input_.select(1, t), source_keys_, source_tapes_);
      c = c + at::linear(at::cat({seen, x}, 1), o_.source->gate_weight, o_.source->gate_bias)
                      .sigmoid() *
                  brought;
    }
    const at::Tensor h = only_valid(gates[2].sigmoid() * c.tanh(), t);
    tapes_.push_back(at::cat({h, only_valid(c, t)}, 1));
    keys_.push_back(at::linear(h, w_.tape_weight));
    if (!o_.need_weights) return;
    weights_.push_back(
        before == 0
            ? at::zeros({x.size(0), steps_}, x.options())
            : only_valid(at::constant_pad_nd(own_.weights().squeeze(1), {0, steps_ - t}), t));
    if (o_.source) source_weights_.push_back(only_valid(source_.weights().squeeze(1), t));
  }

  const LstmnWeights& w_;
  const LstmnOptions& o_;
  std::int64_t steps_, earlier_ = 0;  // earlier_: steps of o_.before
  at::Tensor valid_;                  // before input_, whose initialiser sets it
  at::Tensor input_, nothing_, from_input_, source_keys_, source_tapes_, source_from_input_;
  at::Tensor earlier_tapes_, earlier_keys_;
  TapeReader own_, source_;
  std::vector<at::Tensor> tapes_, keys_, weights_, source_weights_;  // one of each a step
};

}  // namespace

LstmnResult lstmn(const at::Tensor& input, const LstmnWeights& weights,
                  const LstmnOptions& options) {
  return LstmnRun(input, weights, options).run();
}

}  // namespace attend::compose
