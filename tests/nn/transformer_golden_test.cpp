// Multi-head attention and Transformer layers against Python's torch.nn: state dicts loaded by name, values, weights and the
// gradient of every parameter and input, in float64 and float32. tests/golden/make_transformer.py made the file.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "attend/base/error.h"
#include "attend/interop/safetensors.h"
#include "attend/nn/state_dict.h"
#include "attend/nn/transformer.h"
#include "support/compare.h"

namespace attend::nn {
namespace {

constexpr std::int64_t kWidth = 6, kHeads = 3, kInner = 5;

/// What the file holds for one case, names without the case.
struct Golden {
  explicit Golden(const std::string& name, at::ScalarType dtype = at::kDouble) {
    static const interop::SafetensorsFile file =
        interop::read_safetensors(std::string(ATTEND_GOLDEN) + "/transformer.safetensors");
    for (const auto& [key, tensor] : file.tensors) {
      if (key.rfind(name + "/", 0) != 0) continue;
      const std::string rest = key.substr(name.size() + 1);
      const at::Tensor t = tensor.is_floating_point() ? tensor.to(dtype) : tensor;
      if (rest.rfind("state/", 0) == 0) state.emplace_back(rest.substr(6), t);
      all[rest] = t;
    }
  }
  at::Tensor in(const std::string& name) const {
    const at::Tensor t = all.at("in/" + name).detach();
    return t.is_floating_point() ? t.clone().set_requires_grad(true) : t;
  }
  NamedTensors state;
  std::map<std::string, at::Tensor> all;
};

/// Loads the state, runs, and compares output and every gradient. Float32 against float64's numbers: a few hundred operations
/// deep, each rounding at half an eps, so 50 eps of the norm is far below what any wrong term would make.
template <class Module, class Run>
void compare(const std::string& name, Module module, const std::vector<std::string>& inputs,
             const Run& run) {
  SCOPED_TRACE(name);
  const Golden truth(name);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    SCOPED_TRACE(toString(dtype));
    const Golden golden(name, dtype);
    ASSERT_FALSE(golden.state.empty());
    module->to(dtype);
    module->zero_grad();
    load_state_dict(*module, golden.state);
    module->train();
    std::map<std::string, at::Tensor> x;
    for (const std::string& input : inputs) x[input] = golden.in(input);
    const at::Tensor output = run(module, x);
    const double limit = 50 * test::epsilon_of(dtype);
    EXPECT_LT(test::relative_error(output, truth.all.at("out/output")), limit);
    (output * golden.all.at("in/cotangent")).sum().backward();
    for (const auto& item : module->named_parameters())
      EXPECT_LT(test::relative_error(item.value().grad(), truth.all.at("grad/" + item.key())),
                limit)
          << item.key();
    for (const auto& [input, t] : x)
      if (t.is_floating_point()) {
        EXPECT_LT(test::relative_error(t.grad(), truth.all.at("grad/" + input)), limit) << input;
      }
    module->eval();
    EXPECT_LT(test::relative_error(run(module, x), truth.all.at("out/output")), limit) << "eval";
  }
}

using Inputs = std::map<std::string, at::Tensor>;

void compare_attention(const std::string& name, const MultiheadAttentionOptions& options) {
  const Golden truth(name);
  compare(name, MultiheadAttention(options), {"query", "key", "value", "lengths"},
          [&](MultiheadAttention m, Inputs& x) {
            AttentionOptions visible;
            visible.key_lengths = x["lengths"];
            visible.need_weights = true;
            const auto [output, weights] = m->forward(x["query"], x["key"], x["value"], visible);
            EXPECT_LT(test::relative_error(weights, truth.all.at("out/weights")),
                      50 * test::epsilon_of(weights.scalar_type()));
            return output;
          });
}

TransformerLayerOptions layer_options() {
  return TransformerLayerOptions(kWidth, kHeads).dim_feedforward(kInner).dropout(0);
}
TransformerLayerOptions pre_norm() {
  return layer_options().norm_first(true).layer_norm_eps(1e-3).bias(false).activation(
      Activation::kGelu);
}

template <class Module>
at::Tensor encode(Module m, Inputs& x) {
  EncoderPass pass;
  pass.self.key_lengths = x["lengths"];
  return m->forward(x["input"], pass);
}

template <class Module>
at::Tensor decode(Module m, Inputs& x) {
  DecoderPass pass;
  pass.cross.key_lengths = x["lengths"];
  return m->forward(x["target"], x["memory"], pass);
}

TEST(TransformerGolden, MultiheadAttention) {
  const MultiheadAttentionOptions plain(kWidth, kHeads);
  compare_attention("mha", plain);
  compare_attention("mha_widths", MultiheadAttentionOptions(plain).kdim(5).vdim(7));
  compare_attention("mha_no_bias", MultiheadAttentionOptions(plain).bias(false));
  compare_attention("mha_added_keys",
                    MultiheadAttentionOptions(plain).add_bias_kv(true).add_zero_attn(true));
}

TEST(TransformerGolden, EncoderLayers) {
  compare("encoder_post", TransformerEncoderLayer(layer_options()), {"input", "lengths"},
          encode<TransformerEncoderLayer>);
  compare("encoder_pre", TransformerEncoderLayer(pre_norm()), {"input", "lengths"},
          encode<TransformerEncoderLayer>);
}

TEST(TransformerGolden, DecoderLayers) {
  const std::vector<std::string> inputs{"target", "memory", "lengths"};
  compare("decoder_post", TransformerDecoderLayer(layer_options()), inputs,
          decode<TransformerDecoderLayer>);
  compare("decoder_pre", TransformerDecoderLayer(pre_norm()), inputs,
          decode<TransformerDecoderLayer>);
}

TEST(TransformerGolden, Stacks) {
  const auto tanh_gelu = layer_options().norm_first(true).activation(Activation::kGeluTanh);
  compare("encoder_stack", TransformerEncoder(TransformerEncoderOptions(tanh_gelu, 2)),
          {"input", "lengths"}, encode<TransformerEncoder>);
  compare("decoder_stack",
          TransformerDecoder(TransformerDecoderOptions(layer_options(), 2).final_norm(true)),
          {"target", "memory", "lengths"}, decode<TransformerDecoder>);
}

TEST(TransformerGolden, LoadingIsStrictAndChangesNothingWhenItFails) {
  TransformerEncoderLayer layer(layer_options());
  layer->to(at::kDouble);
  const auto refused = [&](NamedTensors state, const std::string& part) {
    const at::Tensor before = layer->self_attn->in_proj_weight.detach().clone();
    try {
      load_state_dict(*layer, state);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
    EXPECT_TRUE(test::same_bits(before, layer->self_attn->in_proj_weight.detach()));
  };
  NamedTensors state = Golden("encoder_post").state;
  refused(Golden("encoder_pre").state, "in_proj_bias [18] is missing");
  refused(
      [&] {
        auto s = state;
        s.emplace_back("other", s[0].second);
        return s;
      }(),
      "the module has no other");
  refused(
      [&] {
        auto s = state;
        s.push_back(s[0]);
        return s;
      }(),
      "is there twice");
  refused(
      [&] {
        auto s = state;
        s.back().second = s.back().second.unsqueeze(0);
        return s;
      }(),
      "but the module's has");
}

}  // namespace
}  // namespace attend::nn
