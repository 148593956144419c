#include "attend/nn/multihead_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <ostream>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/init.h"
#include "attend/nn/packed.h"
#include "nn/seeds.h"
#include "ops/shape_check.h"

namespace attend::nn {
namespace {

constexpr const char* kMultihead = "attend::nn::MultiheadAttention";
enum Part : std::int64_t { kQueryPart, kKeyPart, kValuePart, kParts };

[[noreturn]] void fail_multihead(const std::string& rule) {
  fail_usage(std::string(kMultihead) + ": " + rule);
}

/// [B,L,H·D] → [B,H,L,D], a view.
at::Tensor split_heads(const at::Tensor& t, std::int64_t width) {
  return t.unflatten(2, {t.size(2) / width, width}).transpose(1, 2);
}

void check_multihead_options(const MultiheadAttentionOptions& o) {
  if (o.embed_dim() < 1 || o.num_heads() < 1 || o.kdim() < 1 || o.vdim() < 1 ||
      o.num_kv_heads() < 0 || o.head_width() < 0)
    fail_multihead(
        "embed_dim, num_heads, kdim and vdim must be at least 1, num_kv_heads and head_width not "
        "negative");
  if (o.head_width() == 0 && o.embed_dim() % o.num_heads() != 0)
    fail_multihead("embed_dim=" + std::to_string(o.embed_dim()) +
                   " is not a multiple of num_heads=" + std::to_string(o.num_heads()) +
                   "; give head_width for another width");
  if (o.num_kv_heads() > 0 && o.num_heads() % o.num_kv_heads() != 0)
    fail_multihead("num_heads=" + std::to_string(o.num_heads()) +
                   " is not a multiple of num_kv_heads=" + std::to_string(o.num_kv_heads()));
  if (!(o.dropout() >= 0 && o.dropout() < 1)) fail_multihead("dropout must be in [0, 1)");
}

void check_visible(const MultiheadAttentionOptions& o, const AttentionOptions& visible,
                   const KVCache* cache) {
  if (visible.dropout != 0 || visible.seed != 0)
    fail_multihead("dropout and seed are the module's options, not the call's");
  const bool extra = o.add_bias_kv() || o.add_zero_attn();
  if (extra &&
      (visible.window_left >= 0 || (visible.causal && visible.alignment == Alignment::kFirst)))
    fail_multihead(
        "add_bias_kv and add_zero_attn do not go with window_left or a causal mask aligned to the "
        "first key");
  if (extra && visible.window_right >= 0 && visible.alignment == Alignment::kFirst)
    fail_multihead(
        "add_bias_kv and add_zero_attn do not go with a window aligned to the first key");
  if (cache && at::GradMode::is_enabled())
    fail_multihead("a cache is for inference: decode under at::NoGradGuard");
}

/// A mask or bias over Lk keys as one over `extra` further keys in front of them.
at::Tensor with_keys_in_front(const at::Tensor& t, std::int64_t extra, std::int64_t keys,
                              const at::Scalar& fill) {
  if (!t.defined() || t.dim() == 0) return t;
  const at::Tensor all = t.size(-1) == 1 && keys != 1 ? t.expand([&] {
    auto shape = t.sizes().vec();
    shape.back() = keys;
    return shape;
  }())
                                                      : t;
  return at::constant_pad_nd(all, {extra, 0}, fill);
}

}  // namespace

MultiheadAttentionImpl::MultiheadAttentionImpl(const MultiheadAttentionOptions& given)
    : options(given) {
  reset();
}

std::int64_t MultiheadAttentionImpl::head_width() const {
  return options.head_width() > 0 ? options.head_width()
                                  : options.embed_dim() / options.num_heads();
}

std::int64_t MultiheadAttentionImpl::key_heads() const {
  return options.num_kv_heads() > 0 ? options.num_kv_heads() : options.num_heads();
}

bool MultiheadAttentionImpl::packed() const {
  return options.kdim() == options.embed_dim() && options.vdim() == options.embed_dim();
}

void MultiheadAttentionImpl::reset() {
  check_multihead_options(options);
  const std::int64_t width = options.embed_dim(), inner = options.num_heads() * head_width();
  const std::int64_t inner_key = key_heads() * head_width(), all = inner + 2 * inner_key;
  Random random(options.seed(), Purpose::kInit, 4);
  const auto matrix = [&](const char* name, bool wanted, std::int64_t out, std::int64_t in) {
    return register_parameter(
        name, wanted ? glorot_uniform({out, in}, in, out, random) : at::Tensor(), wanted);
  };
  in_proj_weight = matrix("in_proj_weight", packed(), all, width);
  q_proj_weight = matrix("q_proj_weight", !packed(), inner, width);
  k_proj_weight = matrix("k_proj_weight", !packed(), inner_key, options.kdim());
  v_proj_weight = matrix("v_proj_weight", !packed(), inner_key, options.vdim());
  in_proj_bias = register_parameter(
      "in_proj_bias", options.bias() ? at::zeros({all}) : at::Tensor(), options.bias());
  const auto extra = [&](const char* name) {
    const bool wanted = options.add_bias_kv();
    return register_parameter(
        name,
        wanted ? normal({1, 1, inner_key}, 1 / std::sqrt(static_cast<double>(inner_key)), random)
               : at::Tensor(),
        wanted);
  };
  bias_k = extra("bias_k");
  bias_v = extra("bias_v");
  out_proj = register_module(
      "out_proj", Linear(LinearOptions(inner, width).bias(options.bias()).seed(options.seed())));
  const at::NoGradGuard off;
  if (options.bias()) out_proj->bias.zero_();
}

void MultiheadAttentionImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::MultiheadAttention(embed_dim=" << options.embed_dim()
         << ", num_heads=" << options.num_heads() << ", num_kv_heads=" << key_heads()
         << ", head_width=" << head_width() << ", dropout=" << options.dropout() << ")";
}

void MultiheadAttentionImpl::check(const at::Tensor& query, const at::Tensor& key,
                                   const at::Tensor& value, bool needs_key) const {
  ShapeCheck n(kMultihead);
  n("out_proj.weight", out_proj->weight, {"C", "HD"})("query", query, {"B", "Lq", "C"});
  if (packed()) n("in_proj_weight", in_proj_weight, {"rows", "C"});
  if (!needs_key) return;
  if (packed()) {
    n("key", key, {"B", "Lk", "C"})("value", value, {"B", "Lk", "C"});
  } else {
    n("k_proj_weight", k_proj_weight, {"HkvD", "kdim"})("v_proj_weight", v_proj_weight,
                                                        {"HkvD", "vdim"});
    n("key", key, {"B", "Lk", "kdim"})("value", value, {"B", "Lk", "vdim"});
  }
}

/// Parts first … first + count − 1 of the in-projection of one input, side by side, in one product.
at::Tensor MultiheadAttentionImpl::project(const at::Tensor& input, std::int64_t first,
                                           std::int64_t count) const {
  const std::int64_t inner = options.num_heads() * head_width(),
                     inner_key = key_heads() * head_width();
  const std::int64_t starts[] = {0, inner, inner + inner_key, inner + 2 * inner_key};
  const std::int64_t start = starts[first], rows = starts[first + count] - start;
  const at::Tensor bias =
      in_proj_bias.defined() && count < kParts ? in_proj_bias.narrow(0, start, rows) : in_proj_bias;
  const at::Tensor alone[] = {q_proj_weight, k_proj_weight, v_proj_weight};
  if (!packed()) return linear(input, alone[first], bias);
  return linear(input, count < kParts ? in_proj_weight.narrow(0, start, rows) : in_proj_weight,
                bias);
}

/// Key and value [B,Hkv,Lk,D] of inputs that are not the query's.
std::pair<at::Tensor, at::Tensor> MultiheadAttentionImpl::project_keys(
    const at::Tensor& key, const at::Tensor& value) const {
  const std::int64_t width = head_width(), inner_key = key_heads() * width;
  if (packed() && key.is_same(value)) {
    const at::Tensor both = project(key, kKeyPart, 2);  // [B,Lk,2Hkv·D]
    return {split_heads(both.narrow(2, 0, inner_key), width),
            split_heads(both.narrow(2, inner_key, inner_key), width)};
  }
  return {split_heads(project(key, kKeyPart, 1), width),
          split_heads(project(value, kValuePart, 1), width)};
}

MultiheadAttentionImpl::Heads MultiheadAttentionImpl::project_all(const at::Tensor& query,
                                                                  const at::Tensor& key,
                                                                  const at::Tensor& value,
                                                                  bool needs_key) const {
  const std::int64_t width = head_width(), inner = options.num_heads() * width,
                     inner_key = key_heads() * width;
  const auto heads = [&](const at::Tensor& t, std::int64_t start, std::int64_t count) {
    return split_heads(t.narrow(2, start, count), width);
  };
  if (!needs_key) return {split_heads(project(query, kQueryPart, 1), width), {}, {}};
  if (packed() && query.is_same(key) && key.is_same(value)) {
    const at::Tensor all = project(query, kQueryPart, kParts);  // [B,L,(H+2Hkv)·D]
    return {heads(all, 0, inner), heads(all, inner, inner_key),
            heads(all, inner + inner_key, inner_key)};
  }
  auto [k, v] = project_keys(key, value);
  return {split_heads(project(query, kQueryPart, 1), width), std::move(k), std::move(v)};
}

/// Puts the learned and the zero key in front of the others, where neither lengths nor a causal mask hide them.
AttentionOptions MultiheadAttentionImpl::add_keys(Heads& heads,
                                                  const AttentionOptions& visible) const {
  AttentionOptions o = visible;
  std::vector<at::Tensor> keys, values;
  const std::int64_t batch = heads.key.size(0), before = heads.key.size(2);
  if (options.add_bias_kv()) {
    keys.push_back(split_heads(bias_k, head_width()).expand({batch, -1, -1, -1}));
    values.push_back(split_heads(bias_v, head_width()).expand({batch, -1, -1, -1}));
  }
  if (options.add_zero_attn()) {
    const at::Tensor zeros = at::zeros({batch, key_heads(), 1, head_width()}, heads.key.options());
    keys.push_back(zeros);
    values.push_back(zeros);
  }
  const auto extra = static_cast<std::int64_t>(keys.size());
  if (extra == 0) return o;
  keys.push_back(heads.key);
  values.push_back(heads.value);
  heads.key = at::cat(keys, 2);
  heads.value = at::cat(values, 2);
  if (o.key_lengths.defined()) o.key_lengths = o.key_lengths + extra;
  o.mask = with_keys_in_front(o.mask, extra, before, true);
  o.bias = with_keys_in_front(o.bias, extra, before, 0);
  return o;
}

AttentionResult MultiheadAttentionImpl::attend_heads(Heads heads, const AttentionOptions& visible,
                                                     const Pass* pass) {
  const std::int64_t before = heads.key.size(2);
  AttentionOptions o = add_keys(heads, visible);
  const Pass dropout = pass ? *pass : Pass{is_training(), options.seed(), step};
  if (dropout.training && options.dropout() > 0) {
    o.dropout = options.dropout();
    o.seed =
        derived_seed(dropout.seed, Purpose::kDropout, static_cast<std::uint64_t>(dropout.step));
  }
  if (!pass && dropout.training) ++step;
  auto [output, weights] = sdpa(heads.query, heads.key, heads.value, o);  // [B,H,Lq,D] [B,H,Lq,Lk]
  const std::int64_t extra = heads.key.size(2) - before;
  if (weights.defined() && extra > 0)  // torch's order: the keys that were added come last
    weights = at::cat({weights.narrow(3, extra, before), weights.narrow(3, 0, extra)}, 3);
  if (weights.defined() && options.head_weights() == HeadWeights::kMean) weights = weights.mean(1);
  if (head_mask.defined()) {
    if (head_mask.dim() != 1 || head_mask.size(0) != options.num_heads())
      fail_multihead("head_mask must be [H] with H=" + std::to_string(options.num_heads()));
    output = output * head_mask.view({-1, 1, 1});
  }
  return {output.transpose(1, 2).flatten(2), weights};  // [B,Lq,H·D]
}

AttentionResult MultiheadAttentionImpl::forward(const at::Tensor& query, const at::Tensor& key,
                                                const at::Tensor& value,
                                                const AttentionOptions& visible, KVCache* cache,
                                                const Pass* pass) {
  check_visible(options, visible, cache);
  const bool fixed = cache && cache->kind() == KVCache::Kind::kStatic,
             needs_key = !fixed || cache->empty();
  check(query, key, value, needs_key);
  Heads heads = project_all(query, key, value, needs_key);
  const std::int64_t held =
      cache && !fixed ? cache->length() : 0;  // keys that came before this call's
  heads.query = rotate(heads.query, options.rotary(), held, options.rotary_base());
  if (needs_key) heads.key = rotate(heads.key, options.rotary(), held, options.rotary_base());
  if (cache) {
    if (needs_key) cache->append(heads.key, heads.value);
    heads.key = cache->keys();
    heads.value = cache->values();
  }
  const auto [inner, weights] = attend_heads(heads, visible, pass);
  return {out_proj->forward(inner), weights};
}

KVCache MultiheadAttentionImpl::remember(const at::Tensor& memory) const {
  ShapeCheck n(kMultihead);
  n("out_proj.weight", out_proj->weight, {"C", "HD"})("memory", memory, {"B", "Lk", "C"});
  if (!packed()) fail_multihead("remember takes one memory: kdim and vdim must be embed_dim");
  const auto [key, value] = project_keys(memory, memory);
  KVCache cache(KVCache::Kind::kStatic);
  cache.append(rotate(key, options.rotary(), 0, options.rotary_base()), value);
  return cache;
}

AttentionResult MultiheadAttentionImpl::forward_packed(const at::Tensor& rows,
                                                       const at::Tensor& lengths,
                                                       const AttentionOptions& visible,
                                                       const Pass* pass) {
  check_visible(options, visible, nullptr);
  if (!packed())
    fail_multihead("forward_packed is self-attention: kdim and vdim must be embed_dim");
  if (visible.query_lengths.defined() || visible.key_lengths.defined())
    fail_multihead("forward_packed takes the lengths as its own argument");
  ShapeCheck n(kMultihead);
  n("out_proj.weight", out_proj->weight, {"C", "HD"})("rows", rows, {"N", "C"})
      .index("lengths", lengths, {"B"});
  const at::Tensor all = unpack(project(rows, kQueryPart, kParts), lengths);  // [B,L,(H+2Hkv)·D]
  const std::int64_t width = head_width(), inner = options.num_heads() * width,
                     inner_key = key_heads() * width;
  const auto part = [&](std::int64_t start, std::int64_t count) {
    return split_heads(all.narrow(2, start, count), width);
  };
  Heads heads{part(0, inner), part(inner, inner_key), part(inner + inner_key, inner_key)};
  heads.query = rotate(heads.query, options.rotary(), 0, options.rotary_base());
  heads.key = rotate(heads.key, options.rotary(), 0, options.rotary_base());
  AttentionOptions o = visible;
  o.query_lengths = o.key_lengths = lengths;
  const auto [padded, weights] = attend_heads(heads, o, pass);
  return {out_proj->forward(pack(padded, lengths)), weights};
}

}  // namespace attend::nn
