#include "attend/ops/additive.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/additive.h"
#include "ops/additive.h"
#include "ops/arena.h"
#include "ops/attention_check.h"
#include "ops/kernel_visibility.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kAdditiveOp = "attend::additive";

AttentionResult call_additive(const at::Tensor& query, const at::Tensor& key,
                              const at::Tensor& value, const at::Tensor& score_weight,
                              const OptionalTensor& prepared, const AttentionOptions& o) {
  static const auto op = dispatched<decltype(additive_cpu)>("attend::additive");
  return op.call(query, key, value, score_weight, prepared, ATTEND_ATTENTION_FROM(o));
}

AdditiveTrained call_additive_training(const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value, const at::Tensor& score_weight,
                                       const OptionalTensor& prepared, const AttentionOptions& o) {
  static const auto op = dispatched<decltype(additive_training_cpu)>("attend::additive_training");
  return op.call(query, key, value, score_weight, prepared, ATTEND_ATTENTION_FROM(o));
}

at::Tensor call_additive_prepare(const at::Tensor& key) {
  static const auto op = dispatched<decltype(additive_prepare_cpu)>("attend::additive_prepare");
  return op.call(key);
}

AdditiveGradients call_additive_backward(const variable_list& grads, const variable_list& saved,
                                         bool grad_scores, bool grad_value,
                                         const AttentionOptions& o) {
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(additive_backward_cpu)>("attend::additive_backward");
  return op.call(or_none(grads[0]), or_none(grads[1]), saved[0], saved[1], saved[2], saved[3],
                 or_none(saved[4]), or_none(saved[5]), grad_scores, grad_value,
                 ATTEND_ATTENTION_FROM(o));
}

const char* additive_why_composed(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const at::Tensor& score_weight,
                                  const at::Tensor& bias) {
  return why_not_fused({&query, &key, &value, &score_weight, &bias});
}

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

/// An uninitialised tensor of `sizes` from the pool: what a step makes anew every time would else cost more in page faults
/// than the kernel takes.
at::Tensor pooled_like(const at::Tensor& like, at::IntArrayRef sizes) {
  return pooled_empty(sizes, like.options());
}

/// Whether forward keeps its weights for backward: as long as they are within the memory that the op promises,
/// O((Lq + Lk) A); beyond, backward makes them again. Shapes that check_additive will refuse pass.
bool keeps_weights(const at::Tensor& query, const at::Tensor& key) {
  if (query.dim() != 3 || key.dim() != 3) return false;
  const auto lq = query.sym_size(1), lk = key.sym_size(1), width = query.sym_size(2);
  return (lq * lk).sym_le((lq + lk) * width).guard_bool(__FILE__, __LINE__);
}

struct AdditiveFunction : torch::autograd::Function<AdditiveFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const at::Tensor& score_weight,
                               const OptionalTensor& bias, const OptionalTensor& prepared,
                               const AttentionOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    AttentionOptions with_weights = o;
    with_weights.need_weights = o.need_weights || keeps_weights(query, key);
    const auto [output, weights, made] =
        call_additive_training(query, key, value, score_weight, prepared, with_weights);
    ctx->save_for_backward({query, key, value, score_weight, prepared ? *prepared : made,
                            with_weights.need_weights ? weights : at::Tensor(), o.mask,
                            or_undefined(bias), o.query_lengths, o.key_lengths});
    save_options(ctx, o);
    return o.need_weights ? variable_list{output, weights} : variable_list{output};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    grads.resize(2);  // the weights come second where they were asked for
    variable_list found(
        7);  // query, key, value, score weight, bias; prepared and options have none
    if (!grads[0].defined() && !grads[1].defined()) return found;
    AttentionOptions o = load_options(ctx, saved, 6);
    const at::Tensor& bias = saved[7];
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      o.need_weights = true;
      variable_list again = gradients_by_recomposing(
          {saved[0], saved[1], saved[2], saved[3], bias}, grads, [&](const variable_list& in) {
            o.bias = in[4];
            const auto [output, weights] = compose::additive(in[0], in[1], in[2], in[3], o);
            return variable_list{output, weights};
          });
      std::copy(again.begin(), again.end(), found.begin());
      return found;
    }
    const bool wants_bias = bias.defined() && bias.requires_grad();
    at::Tensor scores;
    std::tie(found[0], found[1], found[2], found[3], scores) =
        call_additive_backward(grads, saved, wants_bias, saved[2].requires_grad(), o);
    if (!saved[2].requires_grad()) found[2].reset();
    if (wants_bias) found[4] = scores.sum_to_size_symint(bias.sym_sizes());
    return found;
  }
};

}  // namespace

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

AttentionResult additive_composed(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_additive(query, key, value, score_weight, std::nullopt, o);
  const char* reason = additive_why_composed(query, key, value, score_weight, o.bias);
  auto out = compose::additive(query, key, value, score_weight, o);
  note_composed(kAdditiveOp, reason ? reason : "asked for");
  return registered_result(out);
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

at::Tensor additive_prepare_meta(const at::Tensor& key) {
  TORCH_CHECK(key.dim() == 3, "attend::additive_prepare: key must be [B, Lk, A]");
  const auto size = key.sym_sizes();
  const std::int64_t unit =
      kernels::additive_padded<float>(1) * 4 / static_cast<std::int64_t>(key.dtype().itemsize());
  const auto padded = ((size[2] + (unit - 1)) / unit).max(1) * unit;
  return at::empty_symint({size[0], size[1], padded}, key.options());
}

AttentionResult additive_meta(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  TORCH_CHECK(query.dim() == 3 && key.dim() == 3 && value.dim() == 3 && score_weight.dim() == 1,
              "attend::additive: query, key and value must be [B, L, ·], score_weight [A]");
  const auto batch = query.sym_size(0), queries = query.sym_size(1);
  const auto weights = need_weights
                           ? at::empty_symint({batch, queries, key.sym_size(1)}, query.options())
                           : at::Tensor();
  return registered_result(
      {at::empty_symint({batch, queries, value.sym_size(2)}, query.options()), weights});
}

AdditiveTrained additive_training_meta(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const auto [output, weights] =
      additive_meta(query, key, value, score_weight, prepared, ATTEND_ATTENTION_NAMES);
  return {output, weights, prepared ? at::empty({0}, key.options()) : additive_prepare_meta(key)};
}

AdditiveGradients additive_backward_meta(const OptionalTensor&, const OptionalTensor&,
                                         const at::Tensor& query, const at::Tensor& key,
                                         const at::Tensor& value, const at::Tensor& score_weight,
                                         const OptionalTensor&, const OptionalTensor&,
                                         bool grad_scores, bool grad_value,
                                         ATTEND_ATTENTION_PARAMETERS) {
  const auto like = [](const at::Tensor& t) {
    return at::empty_symint(t.sym_sizes(), t.options());
  };
  const auto scores =
      grad_scores ? at::empty_symint({query.sym_size(0), query.sym_size(1), key.sym_size(1)},
                                     query.options())
                  : at::empty({0}, query.options());
  return {like(query), like(key), grad_value ? like(value) : at::empty({0}, value.options()),
          like(score_weight), scores};
}

AttentionResult additive_autograd(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  if (additive_why_composed(query, key, value, score_weight, o.bias))  // differentiates itself
    return additive_composed(query, key, value, score_weight, prepared, ATTEND_ATTENTION_NAMES);
  if (!must_differentiate({query, key, value, score_weight, o.bias})) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return call_additive(query, key, value, score_weight, prepared, o);
  }
  const auto out =
      AdditiveFunction::apply(query, key, value, score_weight, or_none(o.bias), prepared, o);
  return registered_result({out[0], o.need_weights ? out[1] : at::Tensor()});
}

AttentionResult additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& o) {
  return additive(query, AdditiveKeys{key, {}}, value, score_weight, o);
}

AttentionResult additive(const at::Tensor& query, const AdditiveKeys& keys, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& o) {
  if (!query.defined() || !keys.key.defined() || !value.defined() || !score_weight.defined())
    check_additive(query, keys.key, value, score_weight, std::nullopt, o);
  return attention_result(
      call_additive(query, keys.key, value, score_weight, or_none(keys.prepared), o), o);
}

AdditiveKeys prepare_additive_keys(const at::Tensor& key) {
  ShapeCheck n("attend::prepare_additive_keys");
  n("key", key, {"B", "Lk", "A"});
  return {key, why_not_fused({&key}) ? at::Tensor() : call_additive_prepare(key.detach())};
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("additive_prepare(Tensor key) -> Tensor");
  m.def(
      "additive(Tensor query, Tensor key, Tensor value, Tensor score_weight, Tensor? "
      "prepared=None, " ATTEND_ATTENTION_SCHEMA ") -> (Tensor output, Tensor weights)");
  m.def(
      "additive_training(Tensor query, Tensor key, Tensor value, Tensor score_weight, Tensor? "
      "prepared, " ATTEND_ATTENTION_PLAIN_SCHEMA
      ") -> (Tensor output, Tensor weights, Tensor prepared_keys)");
  m.def(
      "additive_backward(Tensor? grad_output, Tensor? grad_weights, Tensor query, Tensor key, "
      "Tensor value,"
      " Tensor score_weight, Tensor? prepared, Tensor? weights, bool "
      "grad_scores, bool grad_value, " ATTEND_ATTENTION_PLAIN_SCHEMA
      ") -> (Tensor grad_query, Tensor grad_key, Tensor grad_value, Tensor grad_score_weight, "
      "Tensor grad_scores)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("additive_prepare", &additive_prepare_cpu);
  m.impl("additive", &additive_cpu);
  m.impl("additive_training", &additive_training_cpu);
  m.impl("additive_backward", &additive_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("additive", &additive_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("additive_prepare", &additive_prepare_meta);
  m.impl("additive", &additive_meta);
  m.impl("additive_training", &additive_training_meta);
  m.impl("additive_backward", &additive_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("additive", &additive_autograd); }

}  // namespace attend
