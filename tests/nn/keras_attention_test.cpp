// Keras' Attention, AdditiveAttention, MultiHeadAttention and GroupQueryAttention beside sdpa, additive and MultiheadAttention:
// outputs, returned scores, and the gradient of every input and weight, in float64 and float32. tests/golden/
// make_keras_attention.py made the file.
//
// Planted one at a time between Keras' layout and our call, and each seen to fail: causal aligned to the last key; no causal mask;
// one key of the mask turned round; no mask; a window one key too wide for causal; 1/√D for a scale of 1; a scale off by 1e-4;
// heads permuted in the queries' projection; D and H exchanged there; the first head's bias of the queries lost; heads permuted in
// the output's map; the output's bias lost.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "attend/interop/safetensors.h"
#include "attend/nn/multihead_attention.h"
#include "attend/nn/state_dict.h"
#include "attend/ops/attention.h"
#include "support/compare.h"

namespace attend::nn {
namespace {

/// What the file holds for one case, names without the case; floating point in the dtype that is asked for.
class KerasCase {
 public:
  explicit KerasCase(const std::string& name, at::ScalarType dtype = at::kDouble) {
    static const interop::SafetensorsFile file =
        interop::read_safetensors(std::string(ATTEND_GOLDEN) + "/keras_attention.safetensors");
    for (const auto& [key, tensor] : file.tensors)
      if (key.rfind(name + "/", 0) == 0)
        all_[key.substr(name.size() + 1)] = tensor.is_floating_point() ? tensor.to(dtype) : tensor;
  }
  bool has(const std::string& name) const { return all_.count(name) != 0; }
  const at::Tensor& at(const std::string& name) const { return all_.at(name); }
  at::Tensor leaf(const std::string& name) const {
    return all_.at(name).detach().clone().set_requires_grad(true);
  }
  std::size_t size() const { return all_.size(); }

 private:
  std::map<std::string, at::Tensor> all_;
};

/// A few hundred operations deep, each rounding at half an eps: 50 eps of the norm is far below what any wrong term would make.
testing::AssertionResult agrees(const at::Tensor& ours, const at::Tensor& truth) {
  if (!ours.defined()) return testing::AssertionFailure() << "undefined";
  if (ours.numel() != truth.numel()) return testing::AssertionFailure() << "shape " << ours.sizes();
  const double error = test::relative_error(ours.reshape(truth.sizes()), truth),
               limit = 50 * test::epsilon_of(ours.scalar_type());
  if (error < limit) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "relative error " << error << " is above " << limit;
}

/// Keras' masks as one, with a dimension for the heads where `heads`; its causal mask stands at the first key.
AttentionOptions options_of(const KerasCase& c, bool causal, bool heads) {
  AttentionOptions o;
  o.causal = causal, o.alignment = Alignment::kFirst, o.need_weights = true;
  const auto also = [&](const std::string& name, std::int64_t unsqueezed) {
    if (!c.has("in/" + name)) return;
    at::Tensor m = c.at("in/" + name);
    if (m.dim() == 2) m = m.unsqueeze(unsqueezed);
    if (heads && m.dim() == 3) m = m.unsqueeze(1);
    o.mask = o.mask.defined() ? o.mask.logical_and(m) : m;
  };
  also("query_mask", 2), also("key_mask", 1), also("attention_mask", 0);
  return o;
}

/// What Keras returns for queries that query_mask hides is its own affair; ours is 0, or the output map's bias.
at::Tensor seen(const KerasCase& c, const at::Tensor& t, std::int64_t query_dim) {
  if (!c.has("in/query_mask")) return t;
  at::Tensor mask = c.at("in/query_mask");
  for (std::int64_t d = 1; d < query_dim; ++d) mask = mask.unsqueeze(1);
  while (mask.dim() < t.dim()) mask = mask.unsqueeze(-1);
  return t.masked_fill(mask.logical_not(), 0);
}

void compare_output(const KerasCase& truth, const AttentionResult& result,
                    const at::Tensor& cotangent) {
  const auto& [output, weights] = result;
  EXPECT_TRUE(agrees(seen(truth, output, 1), seen(truth, truth.at("out/output"), 1))) << "output";
  const std::int64_t queries = weights.dim() - 2;
  EXPECT_TRUE(agrees(seen(truth, weights, queries), seen(truth, truth.at("out/scores"), queries)))
      << "scores";
  (output * cotangent).sum().backward();
}

/// The layers without projections. `attention` gets query, key, value and the layer's weights and runs ours.
template <class Attention>
void compare_layer(const std::string& name, const std::vector<std::string>& weights,
                   const Attention& attention) {
  SCOPED_TRACE(name);
  const KerasCase truth(name);
  const bool shared = !truth.has("in/key"), causal = name.find("causal") != std::string::npos;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    SCOPED_TRACE(toString(dtype));
    const KerasCase c(name, dtype);
    ASSERT_GT(c.size(), 0u);
    std::map<std::string, at::Tensor> x, w;
    for (const char* input : {"query", "key", "value"})
      if (c.has(std::string("in/") + input)) x[input] = c.leaf(std::string("in/") + input);
    for (const std::string& weight : weights) w[weight] = c.leaf("weights/" + weight);
    compare_output(truth,
                   attention(x["query"], x[shared ? "value" : "key"], x["value"], w,
                             options_of(c, causal, /*heads=*/false)),
                   c.at("in/cotangent"));
    for (const auto* leaves : {&x, &w})
      for (const auto& [leaf, t] : *leaves)
        EXPECT_TRUE(agrees(t.grad(), truth.at("grad/" + leaf))) << "gradient of " << leaf;
  }
}

using Weights = std::map<std::string, at::Tensor>;

AttentionResult dot(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    AttentionOptions o) {
  if (o.mask.defined()) o.mask = o.mask.unsqueeze(1);
  const auto [output, weights] = sdpa(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1), o);
  return {output.squeeze(1), weights.squeeze(1)};
}

TEST(KerasAttention, Dot) {
  compare_layer("dot", {}, [](auto q, auto k, auto v, Weights&, AttentionOptions o) {
    o.scale = 1;
    return dot(q, k, v, o);
  });
  // A learned scale is a factor of the query, so that it gets its gradient.
  for (const char* name :
       {"dot_scale", "dot_shared", "dot_masks", "dot_causal", "dot_causal_masks"})
    compare_layer(name, {"scale"}, [](auto q, auto k, auto v, Weights& w, AttentionOptions o) {
      o.scale = 1;
      return dot(q * w["scale"], k, v, o);
    });
  // Without the gradient to it, it is sdpa's own.
  const KerasCase c("dot_scale");
  AttentionOptions o;
  o.need_weights = true;
  o.scale = c.at("weights/scale").template item<double>();
  EXPECT_TRUE(agrees(std::get<0>(dot(c.at("in/query"), c.at("in/key"), c.at("in/value"), o)),
                     c.at("out/output")));
}

TEST(KerasAttention, Additive) {
  compare_layer("additive", {}, [](auto q, auto k, auto v, Weights&, const AttentionOptions& o) {
    return additive(q, k, v, at::ones({q.size(2)}, q.options().requires_grad(false)), o);
  });
  for (const char* name : {"additive_scale", "additive_shared", "additive_masks", "additive_causal",
                           "additive_causal_masks"})
    compare_layer(name, {"scale"},
                  [](auto q, auto k, auto v, Weights& w, const AttentionOptions& o) {
                    return additive(q, k, v, w["scale"], o);
                  });
}

TEST(KerasAttention, Concat) {
  compare_layer("concat", {"scale", "concat_score_weight"},
                [](auto q, auto k, auto v, Weights& w, const AttentionOptions& o) {
                  return additive(q * w["scale"], k * w["scale"], v,
                                  w["concat_score_weight"].expand({q.size(2)}), o);
                });
}

/// Keras' weights, or their gradients, by our names: its kernels are [C,H,D] and [H,D,C], ours [H·D,C] and [C,H·D].
NamedTensors state_of(const KerasCase& c, const std::string& kind, bool packed) {
  const auto map = [&](const std::string& part) {
    return c.at(kind + "/" + part + "/kernel").flatten(1).t();
  };
  NamedTensors state;
  std::vector<at::Tensor> maps, biases;
  for (const char* part : {"query", "key", "value"}) {
    maps.push_back(map(part));
    if (c.has("weights/query/bias")) biases.push_back(c.at(kind + "/" + part + "/bias").flatten());
    if (!packed) state.emplace_back(part[0] + std::string("_proj_weight"), maps.back());
  }
  if (packed) state.emplace_back("in_proj_weight", at::cat(maps));
  state.emplace_back("out_proj.weight", c.at(kind + "/attention_output/kernel").flatten(0, 1).t());
  if (biases.empty()) return state;
  state.emplace_back("in_proj_bias", at::cat(biases));
  state.emplace_back("out_proj.bias", c.at(kind + "/attention_output/bias"));
  return state;
}

void compare_heads(const std::string& name) {
  SCOPED_TRACE(name);
  const KerasCase truth(name);
  const at::Tensor query_kernel = truth.at("weights/query/kernel");
  const std::int64_t width = query_kernel.size(0), key_width = truth.at("in/key").size(2),
                     value_width = truth.at("in/value").size(2);
  const bool packed = key_width == width && value_width == width;
  const auto options = MultiheadAttentionOptions(width, query_kernel.size(1))
                           .head_width(query_kernel.size(2))
                           .num_kv_heads(truth.at("weights/key/kernel").size(1))
                           .kdim(key_width)
                           .vdim(value_width)
                           .bias(truth.has("weights/query/bias"));
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    SCOPED_TRACE(toString(dtype));
    const KerasCase c(name, dtype);
    MultiheadAttention module(options);
    module->to(dtype);
    load_state_dict(*module, state_of(c, "weights", packed));
    std::map<std::string, at::Tensor> x;
    for (const std::string input : {"query", "key", "value"}) x[input] = c.leaf("in/" + input);
    const bool causal = name.find("causal") != std::string::npos;
    compare_output(
        truth,
        module->forward(x["query"], x["key"], x["value"], options_of(c, causal, /*heads=*/true)),
        c.at("in/cotangent"));
    for (const auto& [input, t] : x)
      EXPECT_TRUE(agrees(t.grad(), truth.at("grad/" + input))) << "gradient of " << input;
    const auto parameters = module->named_parameters();
    for (const auto& [parameter, gradient] : state_of(truth, "grad", packed))
      EXPECT_TRUE(agrees(parameters[parameter].grad(), gradient)) << "gradient of " << parameter;
  }
}

TEST(KerasAttention, MultiHead) {
  for (const char* name : {"heads", "heads_wide", "heads_no_bias"}) compare_heads(name);
}

TEST(KerasAttention, MultiHeadMasks) {
  for (const char* name :
       {"heads_causal", "heads_mask", "heads_mask_causal", "heads_mask_per_head"})
    compare_heads(name);
}

TEST(KerasAttention, GroupedHeads) {
  for (const char* name : {"grouped", "grouped_causal"}) compare_heads(name);
}

}  // namespace
}  // namespace attend::nn
