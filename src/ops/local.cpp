#include "attend/ops/local.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attend/kernels/local.h"
#include "ops/arena.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using LocalPair = std::tuple<at::Tensor, at::Tensor>;
/// Of query, key, value, centre and score_weight.
using LocalGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

constexpr const char* kLocal = "attend::local";
/// A kernel reckons with places as T, where float counts exactly to here.
constexpr std::int64_t kMostLocalKeys = std::int64_t{1} << 24;

#define ATTEND_LOCAL_ARGUMENTS                                                             \
  const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,                 \
      const at::Tensor &centre, [[maybe_unused]] std::int64_t window,                      \
      [[maybe_unused]] bool gaussian, [[maybe_unused]] const OptionalTensor &score_weight, \
      [[maybe_unused]] const OptionalTensor &key_lengths,                                  \
      [[maybe_unused]] std::optional<double> scale, [[maybe_unused]] bool need_weights
#define ATTEND_LOCAL_NAMES window, gaussian, score_weight, key_lengths, scale, need_weights
#define ATTEND_LOCAL_FROM(o)                                                                \
  (o).window, (o).gaussian, or_none((o).score_weight), or_none((o).key_lengths), (o).scale, \
      (o).need_weights

LocalOptions local_options(std::int64_t window, bool gaussian, const OptionalTensor& score_weight,
                           const OptionalTensor& key_lengths, std::optional<double> scale,
                           bool need_weights) {
  return {window, gaussian,    or_undefined(score_weight), or_undefined(key_lengths),
          scale,  need_weights};
}

void check_local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                 const at::Tensor& centre, const LocalOptions& o) {
  if (has_symbolic_sizes({&query, &key, &value, &centre, &o.score_weight}))
    return;  // tracing: checked when it runs
  ShapeCheck n(kLocal);
  n("query", query, {"B", "Lq", "D"})("key", key, {"B", "Lk", "D"})("value", value,
                                                                    {"B", "Lk", "Dv"});
  n("centre", centre, {"B", "Lq"}).optional("score_weight", o.score_weight, {"D"});
  n.lengths("key_lengths", o.key_lengths, "Lk").at_least("window", o.window, 1);
  if (o.scale) n.finite("scale", *o.scale);
  n.countable("output", {"B", "Lq", "Dv"});
  if (o.need_weights) n.countable("weights", {"B", "Lq", "Lk"});
}

const char* why_local_composed(const at::Tensor& query, const at::Tensor& key) {
  if (const char* reason = why_not_fused({&query})) return reason;
  const auto keys =
      key.dim() == 3 ? key.sym_size(1).maybe_as_int() : std::nullopt;  // unknown while tracing
  return keys && *keys >= kMostLocalKeys ? "there are 2^24 keys or more" : nullptr;
}

/// The kernel's arguments from checked tensors; keeps what had to be copied alive.
template <class T>
struct LocalArguments {
  at::Tensor query, key, value, centre, score_weight, key_lengths;
  kernels::LocalForward<T> p;

  LocalArguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& c,
                 const LocalOptions& o)
      : query(with_unit_last_stride(q)),
        key(with_unit_last_stride(k)),
        value(with_unit_last_stride(v)),
        centre(c.contiguous()),
        score_weight(contiguous_or_undefined(o.score_weight)),
        key_lengths(contiguous_or_undefined(o.key_lengths)) {
    p.batch = q.size(0), p.queries = q.size(1), p.keys = k.size(1), p.width = q.size(2),
    p.value_width = v.size(2);
    p.query = query.const_data_ptr<T>(), p.query_batch = query.stride(0),
    p.query_row = query.stride(1);
    p.key = key.const_data_ptr<T>(), p.key_batch = key.stride(0), p.key_row = key.stride(1);
    p.value = value.const_data_ptr<T>(), p.value_batch = value.stride(0),
    p.value_row = value.stride(1);
    p.centre = centre.const_data_ptr<T>();
    p.score_weight = score_weight.defined() ? score_weight.const_data_ptr<T>() : nullptr;
    p.key_lengths = key_lengths.defined() ? key_lengths.const_data_ptr<std::int64_t>() : nullptr;
    p.window = o.window, p.scale = static_cast<T>(o.scale.value_or(1.0));
    const double sigma = static_cast<double>(o.window) / 2;
    p.sharpness = o.gaussian ? static_cast<T>(0.5 / (sigma * sigma)) : T(0);
  }
};

LocalPair local_composed(ATTEND_LOCAL_ARGUMENTS) {
  const LocalOptions o = local_options(ATTEND_LOCAL_NAMES);
  check_local(query, key, value, centre, o);
  const char* reason = why_local_composed(query, key);
  auto out = registered_result(compose::local(query, key, value, centre, o));
  note_composed(kLocal, reason ? reason : "asked for");
  return out;
}

template <class Call>
LocalPair local_through_float(const at::Tensor& query, const at::Tensor& key,
                              const at::Tensor& value, const at::Tensor& centre, LocalOptions o,
                              Call call) {
  check_local(query, key, value, centre, o);
  o.score_weight = in_float(o.score_weight);
  const auto [output, weights] =
      call(in_float(query), in_float(key), in_float(value), in_float(centre), ATTEND_LOCAL_FROM(o));
  note_reason(kComputedInFloat);
  return {output.to(at::kBFloat16), weights.to(at::kBFloat16)};
}

LocalPair local_cpu(ATTEND_LOCAL_ARGUMENTS) {
  const LocalOptions o = local_options(ATTEND_LOCAL_NAMES);
  if (computes_in_float(query))
    return local_through_float(query, key, value, centre, o, &local_cpu);
  check_local(query, key, value, centre, o);
  if (why_local_composed(query, key))
    return local_composed(query, key, value, centre, ATTEND_LOCAL_NAMES);
  at::Tensor output =
      at::empty({query.size(0), query.size(1), value.size(2)}, query.options());  // [B,Lq,Dv]
  at::Tensor weights = need_weights
                           ? at::empty({query.size(0), query.size(1), key.size(1)}, query.options())
                           : at::empty({0}, query.options());
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    LocalArguments<T> a(query, key, value, centre, o);
    a.p.output = output.template mutable_data_ptr<T>();
    a.p.weights = need_weights ? weights.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch = pooled_empty(kernels::local_forward_workspace(a.p), query.options());
    a.p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::local_forward(a.p);
  });
  note_fused(kLocal);
  return {output, weights};
}

LocalGradients local_backward_cpu(const OptionalTensor& grad_output,
                                  const OptionalTensor& grad_weights, ATTEND_LOCAL_ARGUMENTS) {
  const LocalOptions o = local_options(ATTEND_LOCAL_NAMES);
  check_local(query, key, value, centre, o);
  ShapeCheck n("attend::local_backward");
  n("query", query, {"B", "Lq", "D"})("value", value, {"B", "Lk", "Dv"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "Lq", "Dv"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "Lq", "Lk"});
  if (const char* reason = why_local_composed(query, key)) n.unsupported(reason);
  const auto like = [](const at::Tensor& t) {
    return at::empty(t.sizes(), t.options(), at::MemoryFormat::Contiguous);
  };
  at::Tensor d_query = like(query), d_key = like(key), d_value = like(value),
             d_centre = like(centre);
  at::Tensor d_score_weight = score_weight ? like(*score_weight) : at::empty({0}, query.options());
  const at::Tensor d_output = contiguous_or_undefined(or_undefined(grad_output));
  const at::Tensor d_weights = contiguous_or_undefined(or_undefined(grad_weights));
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    const LocalArguments<T> a(query, key, value, centre, o);
    kernels::LocalBackward<T> p;
    p.forward = a.p;
    p.grad_output = d_output.defined() ? d_output.template const_data_ptr<T>() : nullptr;
    p.grad_weights = d_weights.defined() ? d_weights.template const_data_ptr<T>() : nullptr;
    p.grad_query = d_query.template mutable_data_ptr<T>(),
    p.grad_key = d_key.template mutable_data_ptr<T>();
    p.grad_value = d_value.template mutable_data_ptr<T>(),
    p.grad_centre = d_centre.template mutable_data_ptr<T>();
    p.grad_score_weight = score_weight ? d_score_weight.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch =
        pooled_empty(kernels::local_backward_workspace(a.p), query.options());
    p.workspace = scratch.template mutable_data_ptr<T>();
    const at::Tensor places =
        pooled_empty(kernels::local_backward_places(a.p), query.options().dtype(at::kLong));
    p.places = places.mutable_data_ptr<std::int64_t>();
    kernels::local_backward(p);
  });
  note_fused("attend::local_backward");
  return {d_query, d_key, d_value, d_centre, d_score_weight};
}

LocalPair local_meta(ATTEND_LOCAL_ARGUMENTS) {
  check_local(query, key, value, centre, local_options(ATTEND_LOCAL_NAMES));
  const auto q = query.sym_sizes();
  return {at::empty_symint({q[0], q[1], value.sym_size(2)}, query.options()),
          need_weights ? at::empty_symint({q[0], q[1], key.sym_size(1)}, query.options())
                       : at::empty({0}, query.options())};
}

LocalGradients local_backward_meta(const OptionalTensor&, const OptionalTensor&,
                                   ATTEND_LOCAL_ARGUMENTS) {
  const auto like = [&](const at::Tensor& t) {
    return at::empty_symint(t.sym_sizes(), query.options());
  };
  return {like(query), like(key), like(value), like(centre),
          score_weight ? like(*score_weight) : at::empty({0}, query.options())};
}

struct LocalFunction : torch::autograd::Function<LocalFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const at::Tensor& centre,
                               const OptionalTensor& score_weight, const LocalOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({query, key, value, centre, or_undefined(score_weight), o.key_lengths});
    auto& d = ctx->saved_data;
    d["window"] = o.window, d["gaussian"] = o.gaussian, d["need_weights"] = o.need_weights;
    d["scale"] = o.scale ? c10::IValue(*o.scale) : c10::IValue();
    static const auto op = dispatched<decltype(local_cpu)>(kLocal);
    const auto [output, weights] = op.call(query, key, value, centre, ATTEND_LOCAL_FROM(o));
    return {output, weights};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    auto& d = ctx->saved_data;
    LocalOptions o{d["window"].toInt(),
                   d["gaussian"].toBool(),
                   saved[4],
                   saved[5],
                   d["scale"].toOptional<double>(),
                   d["need_weights"].toBool()};
    if (!o.need_weights) grads[1] = at::Tensor();
    variable_list found(6);  // the options have no gradient
    if (!grads[0].defined() && !grads[1].defined()) return found;
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      o.need_weights = true;
      found = gradients_by_recomposing(
          {saved[0], saved[1], saved[2], saved[3], saved[4]}, grads, [&](const variable_list& in) {
            LocalOptions with = o;
            with.score_weight = in[4];
            const auto [output, weights] = compose::local(in[0], in[1], in[2], in[3], with);
            return variable_list{output, weights};
          });
      found.resize(6);
      return found;
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(local_backward_cpu)>("attend::local_backward");
    std::tie(found[0], found[1], found[2], found[3], found[4]) =
        op.call(or_none(grads[0]), or_none(grads[1]), saved[0], saved[1], saved[2], saved[3],
                ATTEND_LOCAL_FROM(o));
    if (!o.score_weight.defined()) found[4] = at::Tensor();
    return found;
  }
};

LocalPair local_autograd(ATTEND_LOCAL_ARGUMENTS) {
  const LocalOptions o = local_options(ATTEND_LOCAL_NAMES);
  if (computes_in_float(query))
    return local_through_float(query, key, value, centre, o, &local_autograd);
  if (why_local_composed(query, key))  // differentiates itself
    return local_composed(query, key, value, centre, ATTEND_LOCAL_NAMES);
  if (must_differentiate({query, key, value, centre, o.score_weight})) {
    auto out = LocalFunction::apply(query, key, value, centre, score_weight, o);
    return {out[0], out[1]};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(local_cpu)>(kLocal);
  return op.call(query, key, value, centre, ATTEND_LOCAL_NAMES);
}

}  // namespace

AttentionResult local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                      const at::Tensor& centre, const LocalOptions& o) {
  if (!query.defined() || !key.defined() || !value.defined() || !centre.defined())
    check_local(query, key, value, centre, o);
  static const auto op = dispatched<decltype(local_cpu)>(kLocal);
  auto [output, weights] = op.call(query, key, value, centre, ATTEND_LOCAL_FROM(o));
  return {output, o.need_weights ? weights : at::Tensor()};
}

at::Tensor predicted_centre(const at::Tensor& hidden, const at::Tensor& weight,
                            const at::Tensor& score_weight, std::int64_t key_count,
                            const at::Tensor& key_lengths) {
  if (!has_symbolic_sizes({&hidden, &weight, &score_weight})) {
    ShapeCheck n("attend::predicted_centre");
    n("hidden", hidden, {"B", "Lq", "D"})("weight", weight, {"A", "D"})("score_weight",
                                                                        score_weight, {"A"});
    n.at_least("key_count", key_count, 0).index("key_lengths", key_lengths, {"B"});
  }
  const at::Tensor share =
      at::matmul(at::matmul(hidden, weight.transpose(0, 1)).tanh(), score_weight)
          .sigmoid();  // [B,Lq]
  return key_lengths.defined() ? share * key_lengths.to(hidden.scalar_type()).unsqueeze(1)
                               : share * static_cast<double>(key_count);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "local(Tensor query, Tensor key, Tensor value, Tensor centre, *, int window=10, bool "
      "gaussian=True,"
      " Tensor? score_weight=None, Tensor? key_lengths=None, float? scale=None, bool "
      "need_weights=False)"
      " -> (Tensor output, Tensor weights)");
  m.def(
      "local_backward(Tensor? grad_output, Tensor? grad_weights, Tensor query, Tensor key, Tensor "
      "value, Tensor centre,"
      " int window, bool gaussian, Tensor? score_weight, Tensor? key_lengths, float? scale, bool "
      "need_weights)"
      " -> (Tensor grad_query, Tensor grad_key, Tensor grad_value, Tensor grad_centre, Tensor "
      "grad_score_weight)");
  m.def(
      "predicted_centre(Tensor hidden, Tensor weight, Tensor score_weight, int key_count, Tensor? "
      "key_lengths=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("local", &local_cpu);
  m.impl("local_backward", &local_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("local", &local_composed); }

TORCH_LIBRARY_IMPL(attend, CompositeImplicitAutograd, m) {
  m.impl("predicted_centre", [](const at::Tensor& hidden, const at::Tensor& weight,
                                const at::Tensor& score_weight, std::int64_t key_count,
                                const OptionalTensor& key_lengths) {
    return predicted_centre(hidden, weight, score_weight, key_count, or_undefined(key_lengths));
  });
}

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("local", &local_meta);
  m.impl("local_backward", &local_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("local", &local_autograd); }

}  // namespace attend
