// attend::additive on tensors that the kernel takes: checks, and the kernel's arguments.
#include <ATen/ops/empty.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/additive.h"
#include "ops/additive.h"
#include "ops/arena.h"
#include "ops/attention_check.h"
#include "ops/kernel_visibility.h"

namespace attend {
namespace {

/// The kernel's arguments from checked tensors; keeps what had to be copied or made alive.
template <class T>
struct AdditiveArguments {
  at::Tensor query, key, value, score_weight, prepared;
  KernelVisibility visibility;
  kernels::AdditiveForward<T> p;

  AdditiveArguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& w, const OptionalTensor& exponentials,
                    const AttentionOptions& o)
      : query(with_unit_last_stride(q)),
        key(with_unit_last_stride(k)),
        value(with_unit_last_stride(v)),
        score_weight(w.contiguous()),
        prepared(or_undefined(exponentials)),
        visibility(o, {q.size(0), q.size(1), k.size(1)}) {
    p.batch = q.size(0), p.queries = q.size(1), p.keys = k.size(1), p.width = q.size(2),
    p.value_width = v.size(2);
    p.query = query.const_data_ptr<T>(), p.key = key.const_data_ptr<T>(),
    p.value = value.const_data_ptr<T>();
    p.query_strides = row_strides(query), p.key_strides = row_strides(key);
    p.value_strides = row_strides(value);
    p.score_weight = score_weight.const_data_ptr<T>(),
    p.prepared = prepared.defined() ? prepared.const_data_ptr<T>() : nullptr;
    p.scale = static_cast<T>(o.scale.value_or(1.0)), p.dropout = o.dropout, p.seed = o.seed;
    const std::int64_t scores[] = {p.batch, p.queries, p.keys};
    p.visible = visibility.facts;
    if (o.bias.defined())
      p.bias = o.bias.const_data_ptr<T>(), p.bias_strides = score_strides(o.bias, scores);
  }
};

/// Elements of a row of prepared keys.
std::int64_t padded_width(const at::Tensor& like) {
  const std::int64_t width = like.size(-1);
  return like.scalar_type() == at::kDouble ? kernels::additive_padded<double>(width)
                                           : kernels::additive_padded<float>(width);
}

/// An uninitialised tensor of `sizes` from the pool: what a step makes anew every time would else cost more in page faults
/// than the kernel takes.
at::Tensor pooled_like(const at::Tensor& like, at::IntArrayRef sizes) {
  return pooled_empty(sizes, like.options());
}

}  // namespace

const char* additive_why_composed(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const at::Tensor& score_weight,
                                  const at::Tensor& bias) {
  return why_not_fused({&query, &key, &value, &score_weight, &bias});
}

void check_additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const at::Tensor& score_weight, const OptionalTensor& prepared,
                    const AttentionOptions& o) {
  ShapeCheck n(kAdditiveOp);
  n("query", query, {"B", "Lq", "A"})("key", key, {"B", "Lk", "A"})("value", value,
                                                                    {"B", "Lk", "Dv"});
  n("score_weight", score_weight, {"A"});
  check_attention_options(n, kAdditiveOp, o, {n.size("B"), n.size("Lq"), n.size("Lk")});
  if (!prepared) return;
  n("prepared", *prepared, {"B", "Lk", "padded A"});
  const std::int64_t padded = padded_width(query);
  if (n.size("padded A") == padded && prepared->is_contiguous()) return;
  fail_usage(std::string(kAdditiveOp) +
             ": prepared must be what additive_prepare makes of key, contiguous rows of " +
             std::to_string(padded) + ", not of " + std::to_string(n.size("padded A")));
}

at::Tensor additive_prepare_cpu(const at::Tensor& key) {
  ShapeCheck n("attend::additive_prepare");
  n("key", key, {"B", "Lk", "A"});
  if (const char* reason = why_not_fused({&key})) n.unsupported(reason);
  at::Tensor prepared;
  with_scalar_type(key, [&](auto zero) {
    using T = decltype(zero);
    const at::Tensor rows = with_unit_last_stride(key);
    kernels::AdditivePrepare<T> p;
    p.batch = key.size(0), p.keys = key.size(1), p.width = key.size(2);
    prepared = pooled_like(key, {p.batch, p.keys, padded_width(key)});
    p.key = rows.const_data_ptr<T>(), p.key_strides = row_strides(rows);
    p.prepared = prepared.template mutable_data_ptr<T>();
    kernels::additive_prepare(p);
  });
  note_fused("attend::additive_prepare");
  return prepared;
}

namespace {

/// On checked tensors that the kernel takes; `kept` is undefined or where e^{2k} goes.
AttentionResult additive_fused(ATTEND_ADDITIVE_TENSORS, const at::Tensor& kept,
                               const AttentionOptions& o) {
  const std::int64_t batch = query.size(0), queries = query.size(1);
  at::Tensor output = pooled_like(query, {batch, queries, value.size(2)}), weights;  // [B,Lq,Dv]
  if (o.need_weights) weights = pooled_like(query, {batch, queries, key.size(1)});   // [B,Lq,Lk]
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    AdditiveArguments<T> a(query, key, value, score_weight, prepared, o);
    a.p.output = output.template mutable_data_ptr<T>();
    a.p.weights = o.need_weights ? weights.template mutable_data_ptr<T>() : nullptr;
    a.p.kept = kept.defined() ? kept.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch =
        pooled_empty(kernels::additive_forward_workspace(a.p), query.options());
    a.p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::additive_forward(a.p);
  });
  note_fused(kAdditiveOp);
  return registered_result({output, weights});
}

}  // namespace

AttentionResult additive_cpu(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_additive(query, key, value, score_weight, prepared, o);
  if (additive_why_composed(query, key, value, score_weight, o.bias))
    return additive_composed(query, key, value, score_weight, prepared, ATTEND_ATTENTION_NAMES);
  return additive_fused(query, key, value, score_weight, prepared, {}, o);
}

AdditiveTrained additive_training_cpu(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_additive(query, key, value, score_weight, prepared, o);
  if (const char* reason = additive_why_composed(query, key, value, score_weight, o.bias))
    ShapeCheck("attend::additive_training").unsupported(reason);
  const at::Tensor made = prepared
                              ? at::empty({0}, key.options())
                              : pooled_like(key, {key.size(0), key.size(1), padded_width(key)});
  const auto [output, weights] =
      additive_fused(query, key, value, score_weight, prepared, prepared ? at::Tensor() : made, o);
  return {output, weights, made};
}

AdditiveGradients additive_backward_cpu(const OptionalTensor& grad_output,
                                        const OptionalTensor& grad_weights, ATTEND_ADDITIVE_TENSORS,
                                        const OptionalTensor& weights, bool grad_scores,
                                        bool grad_value, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_additive(query, key, value, score_weight, prepared, o);
  ShapeCheck n("attend::additive_backward");
  n("query", query, {"B", "Lq", "A"})("value", value, {"B", "Lk", "Dv"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "Lq", "Dv"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "Lq", "Lk"});
  n.optional("weights", or_undefined(weights), {"B", "Lq", "Lk"});
  if (const char* reason = additive_why_composed(query, key, value, score_weight, o.bias))
    n.unsupported(reason);
  const auto like = [](const at::Tensor& t) { return pooled_like(t, t.sizes()); };
  at::Tensor d_query = like(query), d_key = like(key), d_weight = like(score_weight);
  at::Tensor d_value = grad_value ? like(value) : at::empty({0}, value.options());
  at::Tensor d_scores = grad_scores ? pooled_like(query, {n.size("B"), n.size("Lq"), n.size("Lk")})
                                    : at::empty({0}, query.options());
  const at::Tensor g_output = grad_output ? with_unit_last_stride(*grad_output) : at::Tensor();
  const at::Tensor g_weights = contiguous_or_undefined(or_undefined(grad_weights));
  const at::Tensor kept = contiguous_or_undefined(or_undefined(weights));
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    AdditiveArguments<T> a(query, key, value, score_weight, prepared, o);
    kernels::AdditiveBackward<T> p;
    p.forward = a.p;
    p.forward.weights =
        kept.defined() ? const_cast<T*>(kept.template const_data_ptr<T>()) : nullptr;  // only read
    if (g_output.defined())
      p.grad_output = g_output.template const_data_ptr<T>(),
      p.grad_output_strides = row_strides(g_output);
    p.grad_weights = g_weights.defined() ? g_weights.template const_data_ptr<T>() : nullptr;
    p.grad_query = d_query.template mutable_data_ptr<T>(),
    p.grad_key = d_key.template mutable_data_ptr<T>();
    p.grad_value = grad_value ? d_value.template mutable_data_ptr<T>() : nullptr;
    p.grad_score_weight = d_weight.template mutable_data_ptr<T>();
    p.grad_bias = grad_scores ? d_scores.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch =
        pooled_empty(kernels::additive_backward_workspace(p), query.options());
    p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::additive_backward(p);
  });
  note_fused("attend::additive_backward");
  return {d_query, d_key, d_value, d_weight, d_scores};
}

}  // namespace attend
