#include "attend/ops/additive.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/additive.h"
#include "ops/additive.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

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

AttentionResult additive_composed(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_additive(query, key, value, score_weight, std::nullopt, o);
  const char* reason = additive_why_composed(query, key, value, score_weight, o.bias);
  auto out = compose::additive(query, key, value, score_weight, o);
  note_composed(kAdditiveOp, reason ? reason : "asked for");
  return registered_result(out);
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
