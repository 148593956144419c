#include "attend/ops/transformer_step.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/kernels/decoding.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

constexpr const char* kTransformerStep = "attend::transformer_step";

[[noreturn]] void fail_step(const std::string& what) {
  fail_usage(std::string(kTransformerStep) + ": " + what);
}

void check_step(const PreparedDecoder& d, const at::Tensor& x, const DecoderKnowledge& known) {
  ShapeCheck n(kTransformerStep);
  n("x", x, {"R", "C"});
  const std::int64_t width = x.size(1);
  if (d.layers.empty()) fail_step("the decoder has no layers");
  if (d.heads < 1 || width % d.heads != 0)
    fail_step("heads is " + std::to_string(d.heads) +
              ": it must divide C=" + std::to_string(width));
  if (known.memory.size() != d.layers.size())
    fail_step("memory has " + std::to_string(known.memory.size()) + " tensors for " +
              std::to_string(d.layers.size()) + " layers");
  for (const at::Tensor& memory : known.memory) n("memory", memory, {"B", "S", "KV"});
  n.index("lengths", known.lengths, {"B"});
  if (n.size("KV") != 2 * width)
    fail_step("memory must be [B,S,2C] with C=" + std::to_string(width));
  if (n.size("B") == 0 ? x.size(0) != 0 : x.size(0) % n.size("B") != 0)
    fail_step("x has " + std::to_string(x.size(0)) + " rows, no multiple of the " +
              std::to_string(n.size("B")) + " sources");
  const auto steps = static_cast<std::int64_t>(known.tape.size()) + 1;
  if (!known.places.defined() || known.places.dim() != 2 || known.places.size(0) != x.size(0) ||
      known.places.size(1) != steps || known.places.scalar_type() != at::kInt ||
      !known.places.is_contiguous())
    fail_step("places must be dense [R,T] int32 with R=" + std::to_string(x.size(0)) +
              " and T=" + std::to_string(steps) + " steps, this one included");
  const std::int32_t* place = known.places.const_data_ptr<std::int32_t>();
  for (std::int64_t r = 0; r < x.size(0); ++r)
    for (std::int64_t t = 0; t < steps; ++t, ++place) {
      const std::int64_t rows =
          t + 1 < steps ? known.tape[static_cast<std::size_t>(t)].size(1) : x.size(0);
      if (*place < 0 || *place >= rows || (t + 1 == steps && *place != r))
        fail_step("places[" + std::to_string(r) + "][" + std::to_string(t) + "] is " +
                  std::to_string(*place) + ", no row of that step");
    }
  for (const at::Tensor& t : known.tape)
    if (t.dim() != 3 || t.size(0) != static_cast<std::int64_t>(d.layers.size()) ||
        t.size(2) != 3 * width)
      fail_step("tape must be [layers,R,3C]");
}

/// One step of the stack: where everything lies, and the sublayers.
class TransformerStep {
 public:
  TransformerStep(const PreparedDecoder& d, const at::Tensor& x, DecoderKnowledge& known)
      : d_(d), known_(known), rows_(x.size(0)), width_(x.size(1)), x_(x.mutable_data_ptr<float>()) {
    tape_ =
        pooled_empty({static_cast<std::int64_t>(d.layers.size()), rows_, 3 * width_}, x.options());
    known.tape.push_back(tape_);
    std::int64_t inner = 0, workspace = 0;
    for (const PreparedDecoderLayer& layer : d.layers) {
      inner = std::max(inner, layer.inner.outputs());
      for (const PreparedLinear* map : {&layer.self_in, &layer.self_out, &layer.query,
                                        &layer.source_out, &layer.inner, &layer.outer}) {
        kernels::PreparedProduct p = map->product();
        p.rows = rows_;
        workspace = std::max(workspace, kernels::prepared_workspace(p));
      }
    }
    attention_.rows = rows_, attention_.heads = d.heads, attention_.width = width_ / d.heads;
    attention_.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attention_.width)));
    attention_.places = std::max<std::int64_t>(static_cast<std::int64_t>(known.tape.size()),
                                               known.memory.front().size(1));
    workspace = std::max(workspace, 4 * kernels::step_attention_workspace(attention_));
    const std::int64_t dense = (rows_ * width_ + 15) / 16 * 16,
                       wide = (rows_ * inner + 15) / 16 * 16;
    scratch_ = pooled_bytes_for(4 * (3 * dense + wide) + workspace);
    normed_ = scratch_.mutable_data_ptr<float>(), attended_ = normed_ + dense,
    query_ = attended_ + dense;
    inner_ = query_ + dense, workspace_ = inner_ + wide;
    attention_.workspace = workspace_, attention_.out = attended_;
  }

  /// `weights` takes the layer's weights over the source, or is undefined.
  void layer(std::size_t k, const at::Tensor& weights) {
    const PreparedDecoderLayer& layer = d_.layers[k];
    sublayer(layer.norms[0], [&](const float* in) {
      float* const own =
          tape_.mutable_data_ptr<float>() + static_cast<std::int64_t>(k) * rows_ * 3 * width_;
      product(layer.self_in, in, own);
      attend_to_tape(k, own);
      product(layer.self_out, attended_, x_, {.adds = true});
    });
    sublayer(layer.norms[1], [&](const float* in) {
      product(layer.query, in, query_);
      attend_to_source(known_.memory[k], weights);
      product(layer.source_out, attended_, x_, {.adds = true});
    });
    sublayer(layer.norms[2], [&](const float* in) {
      product(layer.inner, in, inner_, {.relu = true});
      product(layer.outer, inner_, x_, {.adds = true});
    });
  }

  void norm(const PreparedNorm& norm, float* to) const {
    kernels::NormRows p;
    p.rows = rows_, p.width = width_, p.x = x_, p.y = to, p.eps = static_cast<float>(d_.eps);
    p.weight = norm.weight.const_data_ptr<float>();
    if (norm.bias.defined()) p.bias = norm.bias.const_data_ptr<float>();
    kernels::norm_rows(p);
  }
  float* x() const { return x_; }

 private:
  struct How {
    bool adds = false, relu = false;
  };

  /// f reads its input and adds to x: x + f(norm(x)), or norm(x + f(x)).
  template <class F>
  void sublayer(const PreparedNorm& norms, const F& f) {
    if (d_.norm_first) norm(norms, normed_);
    f(d_.norm_first ? normed_ : x_);
    if (!d_.norm_first) norm(norms, x_);
  }

  void product(const PreparedLinear& map, const float* from, float* to,
               How how = {false, false}) const {
    kernels::PreparedProduct p = map.product();
    p.rows = rows_, p.x = from, p.x_row = map.inputs(), p.y = to, p.y_row = map.outputs();
    p.adds = how.adds,
    p.finish = how.relu ? kernels::GemmFinish::kRelu : kernels::GemmFinish::kNone;
    p.workspace = workspace_;
    kernels::prepared_product(p);
  }

  void attend_to_tape(std::size_t k, const float* own) {
    keys_.clear();
    for (const at::Tensor& step : known_.tape)
      keys_.push_back(step.const_data_ptr<float>() +
                      static_cast<std::int64_t>(k) * step.size(1) * 3 * width_ + width_);
    kernels::StepAttention p = attention_;
    p.query = own, p.query_row = p.key_row = 3 * width_, p.value = width_;
    p.places = static_cast<std::int64_t>(known_.tape.size());
    p.tape = keys_.data(), p.place = known_.places.const_data_ptr<std::int32_t>();
    kernels::step_attention(p);
  }

  void attend_to_source(const at::Tensor& memory, const at::Tensor& weights) const {
    kernels::StepAttention p = attention_;
    p.query = query_, p.query_row = width_, p.key_row = 2 * width_, p.value = width_;
    p.places = memory.size(1), p.sources = memory.size(0);
    p.memory = memory.const_data_ptr<float>(),
    p.length = known_.lengths.const_data_ptr<std::int64_t>();
    if (weights.defined()) p.weights = weights.mutable_data_ptr<float>();
    kernels::step_attention(p);
  }

  const PreparedDecoder& d_;
  DecoderKnowledge& known_;
  const std::int64_t rows_, width_;
  float* const x_;
  at::Tensor tape_, scratch_;
  float *normed_, *attended_, *query_, *inner_, *workspace_;
  kernels::StepAttention attention_;
  std::vector<const float*> keys_;
};

}  // namespace

at::Tensor transformer_step(const PreparedDecoder& decoder, const at::Tensor& x,
                            DecoderKnowledge& known, std::int64_t weights_of) {
  check_step(decoder, x, known);
  at::Tensor weights;
  if (weights_of >= 0) weights = at::empty({x.size(0), known.memory.front().size(1)}, x.options());
  if (x.size(0) == 0) {
    known.tape.push_back(at::empty(
        {static_cast<std::int64_t>(decoder.layers.size()), 0, 3 * x.size(1)}, x.options()));
    return weights;
  }
  TransformerStep step(decoder, x, known);
  for (std::size_t k = 0; k < decoder.layers.size(); ++k)
    step.layer(k, static_cast<std::int64_t>(k) == weights_of ? weights : at::Tensor());
  if (decoder.last.weight.defined()) step.norm(decoder.last, step.x());
  note_fused(kTransformerStep);
  return weights;
}

}  // namespace attend
