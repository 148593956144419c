#include "attend/ops/sparsemax.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/kernels/sparsemax.h"
#include "ops/arena.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"
#include "ops/kernel_visibility.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using SparsemaxGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

constexpr const char* kSparsemax = "attend::sparsemax";

#define ATTEND_SPARSEMAX_TENSORS \
  const at::Tensor &query, const at::Tensor &key, const at::Tensor &value

void check_sparsemax(ATTEND_SPARSEMAX_TENSORS, const AttentionOptions& o) {
  ShapeCheck n(kSparsemax);
  n("query", query, {"B", "H", "Lq", "D"});
  n("key", key, {"B", "Hkv", "Lk", "D"})("value", value, {"B", "Hkv", "Lk", "Dv"});
  const std::int64_t heads = n.size("H"), key_heads = n.size("Hkv");
  if (key_heads == 0 ? heads != 0 : heads % key_heads != 0)
    fail_usage(std::string(kSparsemax) + ": query has H=" + std::to_string(heads) +
               " heads, which is not a multiple of key's Hkv=" + std::to_string(key_heads));
  check_attention_options(n, kSparsemax, o, {n.size("B"), heads, n.size("Lq"), n.size("Lk")});
  n.countable("output", {"B", "H", "Lq", "Dv"});
  if (o.need_weights) n.countable("weights", {"B", "H", "Lq", "Lk"});
}

const char* sparsemax_why_composed(ATTEND_SPARSEMAX_TENSORS, const AttentionOptions& o) {
  if (o.bias.defined()) return "there is a bias";
  if (o.dropout != 0) return "there is dropout";
  return why_not_fused({&query, &key, &value});
}

/// The kernel's arguments from checked tensors; keeps what had to be copied.
template <class T>
struct SparsemaxArguments {
  at::Tensor query, key, value;
  KernelVisibility visibility;
  kernels::SparsemaxForward<T> p;

  SparsemaxArguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& o)
      : query(with_unit_last_stride(q)),
        key(with_unit_last_stride(k)),
        value(with_unit_last_stride(v)),
        visibility(o, {q.size(0), q.size(1), q.size(2), k.size(2)}) {
    p.batch = q.size(0), p.heads = q.size(1), p.key_heads = k.size(1);
    p.queries = q.size(2), p.keys = k.size(2), p.width = q.size(3), p.value_width = v.size(3);
    p.query = query.const_data_ptr<T>(), p.key = key.const_data_ptr<T>();
    p.value = value.const_data_ptr<T>();
    p.query_strides = row_strides(query), p.key_strides = row_strides(key);
    p.value_strides = row_strides(value);
    const double width = static_cast<double>(std::max<std::int64_t>(1, p.width));
    p.scale = static_cast<T>(o.scale.value_or(1 / std::sqrt(width)));
    p.visible = visibility.facts;
  }
};

AttentionResult sparsemax_composed(ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sparsemax(query, key, value, o);
  const char* reason = sparsemax_why_composed(query, key, value, o);
  const auto out = compose::sparsemax(query, key, value, o);
  note_composed(kSparsemax, reason ? reason : "asked for");
  return registered_result(out);
}

AttentionResult sparsemax_cpu(ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sparsemax(query, key, value, o);
  if (sparsemax_why_composed(query, key, value, o))
    return sparsemax_composed(query, key, value, ATTEND_ATTENTION_NAMES);
  const std::int64_t batch = query.size(0), heads = query.size(1), queries = query.size(2);
  at::Tensor output = at::empty({batch, heads, queries, value.size(3)}, query.options()), weights;
  if (need_weights) weights = at::empty({batch, heads, queries, key.size(2)}, query.options());
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    SparsemaxArguments<T> a(query, key, value, o);
    a.p.output = output.template mutable_data_ptr<T>();
    a.p.weights = need_weights ? weights.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch =
        pooled_empty(kernels::sparsemax_forward_workspace(a.p), query.options());
    a.p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::sparsemax_forward(a.p);
  });
  note_fused(kSparsemax);
  return registered_result({output, weights});
}

SparsemaxGradients sparsemax_backward_cpu(const OptionalTensor& grad_output,
                                          const OptionalTensor& grad_weights,
                                          ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sparsemax(query, key, value, o);
  ShapeCheck n("attend::sparsemax_backward");
  n("query", query, {"B", "H", "Lq", "D"})("value", value, {"B", "Hkv", "Lk", "Dv"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "H", "Lq", "Dv"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "H", "Lq", "Lk"});
  if (const char* reason = sparsemax_why_composed(query, key, value, o)) n.unsupported(reason);
  const auto like = [](const at::Tensor& t) {
    return at::empty(t.sizes(), t.options(), at::MemoryFormat::Contiguous);
  };
  at::Tensor d_query = like(query), d_key = like(key), d_value = like(value);
  const at::Tensor d_output = contiguous_or_undefined(or_undefined(grad_output));
  const at::Tensor d_weights = contiguous_or_undefined(or_undefined(grad_weights));
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    const SparsemaxArguments<T> a(query, key, value, o);
    kernels::SparsemaxBackward<T> p;
    p.forward = a.p;
    p.grad_output = d_output.defined() ? d_output.template const_data_ptr<T>() : nullptr;
    p.grad_weights = d_weights.defined() ? d_weights.template const_data_ptr<T>() : nullptr;
    p.grad_query = d_query.template mutable_data_ptr<T>();
    p.grad_key = d_key.template mutable_data_ptr<T>();
    p.grad_value = d_value.template mutable_data_ptr<T>();
    const at::Tensor scratch =
        pooled_empty(kernels::sparsemax_backward_workspace(a.p), query.options());
    p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::sparsemax_backward(p);
  });
  note_fused("attend::sparsemax_backward");
  return {d_query, d_key, d_value};
}

AttentionResult sparsemax_meta(ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4,
              "attend::sparsemax: query, key and value must be [B, H, L, ·]");
  const auto q = query.sym_sizes();
  at::Tensor weights;
  if (need_weights)
    weights = at::empty_symint({q[0], q[1], q[2], key.sym_size(2)}, query.options());
  return registered_result(
      {at::empty_symint({q[0], q[1], q[2], value.sym_size(3)}, query.options()), weights});
}

SparsemaxGradients sparsemax_backward_meta(const OptionalTensor&, const OptionalTensor&,
                                           ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const auto like = [](const at::Tensor& t) {
    return at::empty_symint(t.sym_sizes(), t.options());
  };
  return {like(query), like(key), like(value)};
}

struct SparsemaxFunction : torch::autograd::Function<SparsemaxFunction> {
  static variable_list forward(AutogradContext* ctx, ATTEND_SPARSEMAX_TENSORS,
                               const AttentionOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    save_with_options(ctx, {query, key, value}, o);
    static const auto op = dispatched<decltype(sparsemax_cpu)>(kSparsemax);
    const auto [output, weights] = op.call(query, key, value, ATTEND_ATTENTION_FROM(o));
    return o.need_weights ? variable_list{output, weights} : variable_list{output};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    grads.resize(2);         // the weights come second where they were asked for
    variable_list found(4);  // query, key, value; the options have none
    if (!grads[0].defined() && !grads[1].defined()) return found;
    AttentionOptions o = load_options(ctx, saved, 3);
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      o.need_weights = true;
      found = gradients_by_recomposing(
          {saved[0], saved[1], saved[2]}, grads, [&](const variable_list& in) {
            const auto [output, weights] = compose::sparsemax(in[0], in[1], in[2], o);
            return variable_list{output, weights};
          });
      found.resize(4);
      return found;
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        dispatched<decltype(sparsemax_backward_cpu)>("attend::sparsemax_backward");
    std::tie(found[0], found[1], found[2]) = op.call(or_none(grads[0]), or_none(grads[1]), saved[0],
                                                     saved[1], saved[2], ATTEND_ATTENTION_FROM(o));
    return found;
  }
};

AttentionResult sparsemax_autograd(ATTEND_SPARSEMAX_TENSORS, ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  if (sparsemax_why_composed(query, key, value, o))  // differentiates itself
    return sparsemax_composed(query, key, value, ATTEND_ATTENTION_NAMES);
  if (must_differentiate({query, key, value})) {
    const auto out = SparsemaxFunction::apply(query, key, value, o);
    return registered_result({out[0], o.need_weights ? out[1] : at::Tensor()});
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(sparsemax_cpu)>(kSparsemax);
  return op.call(query, key, value, ATTEND_ATTENTION_NAMES);
}

}  // namespace

AttentionResult sparsemax(ATTEND_SPARSEMAX_TENSORS, const AttentionOptions& o) {
  if (!query.defined() || !key.defined() || !value.defined()) check_sparsemax(query, key, value, o);
  static const auto op = dispatched<decltype(sparsemax_cpu)>(kSparsemax);
  return attention_result(op.call(query, key, value, ATTEND_ATTENTION_FROM(o)), o);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("sparsemax(Tensor query, Tensor key, Tensor value, " ATTEND_ATTENTION_SCHEMA
        ") -> (Tensor output, Tensor weights)");
  m.def(
      "sparsemax_backward(Tensor? grad_output, Tensor? grad_weights, Tensor query, Tensor key,"
      " Tensor value, " ATTEND_ATTENTION_PLAIN_SCHEMA
      ") -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("sparsemax", &sparsemax_cpu);
  m.impl("sparsemax_backward", &sparsemax_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("sparsemax", &sparsemax_composed);
}

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("sparsemax", &sparsemax_meta);
  m.impl("sparsemax_backward", &sparsemax_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("sparsemax", &sparsemax_autograd); }

}  // namespace attend
