#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/kernels/sdpa.h"
#include "attend/ops/attention.h"
#include "ops/arena.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"
#include "ops/kernel_visibility.h"
#include "ops/recompose.h"
#include "ops/sdpa.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using SdpaPair = std::tuple<at::Tensor, at::Tensor>;
using SdpaTrained = std::tuple<at::Tensor, at::Tensor, at::Tensor,
                               at::Tensor>;  // output, weights, largest, inverse
using SdpaAllGradients =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;  // query, key, value, bias

#define ATTEND_SDPA_ARGUMENTS                                              \
  const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, \
      ATTEND_ATTENTION_PARAMETERS
#define ATTEND_SDPA_BACKWARD_ARGUMENTS                                                           \
  [[maybe_unused]] const OptionalTensor &grad_output,                                            \
      [[maybe_unused]] const OptionalTensor &grad_weights, const at::Tensor &query,              \
      const at::Tensor &key, const at::Tensor &value, [[maybe_unused]] const at::Tensor &output, \
      [[maybe_unused]] const at::Tensor &largest, [[maybe_unused]] const at::Tensor &inverse,    \
      bool want_bias, ATTEND_ATTENTION_PARAMETERS

constexpr const char* kSdpa = "attend::sdpa";
/// A block keeps its key range in the lanes' own type, where float counts exactly to here.
constexpr std::int64_t kMostKeys = std::int64_t{1} << 24;

void check_sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                const AttentionOptions& o) {
  if (has_symbolic_sizes({&query, &key, &value})) return;  // tracing: checked when it runs
  ShapeCheck n(kSdpa);
  n("query", query, {"B", "H", "Lq", "D"})("key", key, {"B", "Hkv", "Lk", "D"})(
      "value", value, {"B", "Hkv", "Lk", "Dv"});
  const std::int64_t heads = n.size("H"), key_heads = n.size("Hkv");
  if (key_heads == 0 ? heads != 0 : heads % key_heads != 0)
    fail_usage(std::string(kSdpa) + ": query has H=" + std::to_string(heads) +
               " heads, which is not a multiple of key's Hkv=" + std::to_string(key_heads));
  check_attention_options(n, kSdpa, o, {n.size("B"), heads, n.size("Lq"), n.size("Lk")});
  n.countable("output", {"B", "H", "Lq", "Dv"});
  if (o.need_weights) n.countable("weights", {"B", "H", "Lq", "Lk"});
}

double scale_of(const at::Tensor& query, const AttentionOptions& o) {
  return o.scale.value_or(1.0 /
                          std::sqrt(static_cast<double>(std::max<std::int64_t>(1, query.size(3)))));
}

bool all_bfloat16(std::initializer_list<const at::Tensor*> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor* t) {
    return !t->defined() || (t->device().is_cpu() && t->layout() == at::kStrided &&
                             t->scalar_type() == at::kBFloat16);
  });
}

/// The dtype of sums, of what backward is left, and of the gradients before they are rounded.
at::TensorOptions sums_of(const at::Tensor& t) {
  return t.options().dtype(t.scalar_type() == at::kBFloat16 ? at::kFloat : t.scalar_type());
}

const char* why_sdpa_composed(const at::Tensor& query, const at::Tensor& key,
                              const at::Tensor& value, const AttentionOptions& o) {
  const std::initializer_list<const at::Tensor*> tensors = {&query, &key, &value, &o.bias};
  const char* reason = why_not_fused(tensors);
  if (reason && !all_bfloat16(tensors)) return reason;
  const auto keys =
      key.dim() == 4 ? key.sym_size(2).maybe_as_int() : std::nullopt;  // unknown while tracing
  if (keys && *keys >= kMostKeys) return "there are 2^24 keys or more";
  return nullptr;
}

/// Stands for a result that was not asked for.
at::Tensor sdpa_none(const at::Tensor& t) { return at::empty({0}, t.options()); }

/// Calls f(I{}) with what the kernel's arrays hold.
template <class F>
void with_sdpa_type(const at::Tensor& like, F&& f) {
  if (like.scalar_type() == at::kBFloat16)
    f(kernels::BFloat16{});
  else
    with_scalar_type(like, f);
}

template <class I>
const I* read(const at::Tensor& t) {
  return static_cast<const I*>(t.const_data_ptr());
}
template <class I>
I* write(const at::Tensor& t) {
  return static_cast<I*>(t.mutable_data_ptr());
}

/// The kernel's arguments from checked tensors; keeps what had to be copied alive.
template <class I>
struct SdpaArguments {
  using T = kernels::Accumulator<I>;
  at::Tensor query, key, value;
  KernelVisibility visibility;
  kernels::SdpaForward<I> p;

  SdpaArguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const AttentionOptions& o)
      : query(with_unit_last_stride(q)),
        key(with_unit_last_stride(k)),
        value(with_unit_last_stride(v)),
        visibility(o, {q.size(0), q.size(1), q.size(2), k.size(2)}) {
    p.batch = q.size(0), p.heads = q.size(1), p.key_heads = k.size(1);
    p.queries = q.size(2), p.keys = k.size(2), p.width = q.size(3), p.value_width = v.size(3);
    p.query = read<I>(query), p.key = read<I>(key), p.value = read<I>(value);
    p.query_strides = row_strides(query), p.key_strides = row_strides(key),
    p.value_strides = row_strides(value);
    p.scale = static_cast<T>(scale_of(q, o)), p.dropout = o.dropout, p.seed = o.seed;
    const std::int64_t scores[] = {p.batch, p.heads, p.queries, p.keys};
    p.visible = visibility.facts;
    if (o.bias.defined()) p.bias = read<I>(o.bias), p.bias_strides = score_strides(o.bias, scores);
  }
};

void note_sdpa(const char* op, const at::Tensor& query) {
  note_fused(op);
  if (query.scalar_type() == at::kBFloat16)
    note_reason(kernels::sdpa_used_bfloat16_dot() ? "bfloat16 products, summed in float"
                                                  : kComputedInFloat);
}

SdpaTrained run_sdpa_forward(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const AttentionOptions& o,
                             bool for_backward) {
  const std::int64_t batch = query.size(0), heads = query.size(1), queries = query.size(2);
  const at::TensorOptions sums = sums_of(query);
  const auto empty_if = [&](bool want, at::IntArrayRef size) {
    return at::empty(want ? size : at::IntArrayRef{0}, sums);
  };
  at::Tensor output = at::empty({batch, heads, queries, value.size(3)}, query.options());
  at::Tensor largest = empty_if(for_backward, {batch, heads, queries}),
             inverse = empty_if(for_backward, {batch, heads, queries});
  at::Tensor weights =
      o.need_weights ? pooled_empty({batch, heads, queries, key.size(2)}, sums) : sdpa_none(query);
  with_sdpa_type(query, [&](auto zero) {
    using I = decltype(zero);
    using T = kernels::Accumulator<I>;
    SdpaArguments<I> a(query, key, value, o);
    a.p.output = write<I>(output), a.p.output_strides = row_strides(output);
    a.p.largest = for_backward ? write<T>(largest) : nullptr;
    a.p.inverse = for_backward ? write<T>(inverse) : nullptr;
    a.p.weights = o.need_weights ? write<T>(weights) : nullptr;
    const at::Tensor scratch = pooled_empty(kernels::sdpa_forward_workspace(a.p), sums);
    a.p.workspace = write<T>(scratch);
    kernels::sdpa_forward(a.p);
  });
  note_sdpa(kSdpa, query);
  return {output, weights.to(query.scalar_type()), largest, inverse};
}

/// What backward needs of the forward call.
struct SdpaSaved {
  at::Tensor output, largest, inverse;
};

SdpaAllGradients run_sdpa_backward(const at::Tensor& query, const at::Tensor& key,
                                   const at::Tensor& value, const AttentionOptions& o,
                                   const SdpaSaved& saved, const at::Tensor& grad_output,
                                   bool want_bias) {
  const at::TensorOptions sums = sums_of(query);
  // Those of bfloat16 are rounded at the end, and their memory goes back to the pool.
  const auto like = [&](const at::Tensor& t) {
    return t.scalar_type() == at::kBFloat16 ? pooled_empty(t.sizes(), sums)
                                            : at::empty(t.sizes(), sums);
  };
  const at::Tensor grad_query = like(query), grad_key = like(key), grad_value = like(value);
  const std::int64_t scores[] = {query.size(0), query.size(1), query.size(2), key.size(2)};
  const bool bias = want_bias && std::find(scores, scores + 4, 0) == scores + 4;
  const at::Tensor grad_bias = !want_bias ? sdpa_none(query)
                               : bias     ? like(o.bias)
                                          : at::zeros(o.bias.sizes(), sums);
  const at::Tensor grad = with_unit_last_stride(grad_output),
                   output = with_unit_last_stride(saved.output);
  const at::Tensor largest = saved.largest.contiguous(), inverse = saved.inverse.contiguous();
  with_sdpa_type(query, [&](auto zero) {
    using I = decltype(zero);
    using T = kernels::Accumulator<I>;
    SdpaArguments<I> a(query, key, value, o);
    kernels::SdpaBackward<I> p;
    p.forward = a.p;
    p.forward.output = const_cast<I*>(read<I>(output)),
    p.forward.output_strides = row_strides(output);
    p.forward.largest = const_cast<T*>(read<T>(largest));
    p.forward.inverse = const_cast<T*>(read<T>(inverse));
    p.grad_output = read<I>(grad), p.grad_output_strides = row_strides(grad);
    p.grad_query = write<T>(grad_query), p.grad_key = write<T>(grad_key),
    p.grad_value = write<T>(grad_value);
    if (bias)
      p.grad_bias = write<T>(grad_bias), p.grad_bias_strides = score_strides(grad_bias, scores);
    const at::Tensor scratch = pooled_empty(kernels::sdpa_backward_workspace(p), sums);
    p.workspace = write<T>(scratch);
    kernels::sdpa_backward(p);
  });
  note_sdpa("attend::sdpa_backward", query);
  const auto rounded = [&](const at::Tensor& t) { return t.to(query.scalar_type()); };
  return {rounded(grad_query), rounded(grad_key), rounded(grad_value), rounded(grad_bias)};
}

SdpaPair sdpa_composed(ATTEND_SDPA_ARGUMENTS);

/// bfloat16 with a bias of another dtype, which the kernel does not mix.
bool mixes_bfloat16(const at::Tensor& query, const AttentionOptions& o) {
  return computes_in_float(query) && o.bias.defined() && o.bias.scalar_type() != at::kBFloat16;
}

template <class Call>
SdpaPair sdpa_through_float(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            AttentionOptions o, Call call) {
  check_sdpa(query, key, value, o);
  o.bias = in_float(o.bias);
  const auto [output, weights] =
      call(in_float(query), in_float(key), in_float(value), ATTEND_ATTENTION_FROM(o));
  note_reason(kComputedInFloat);
  return {output.to(at::kBFloat16), weights.to(at::kBFloat16)};
}

SdpaPair sdpa_cpu(ATTEND_SDPA_ARGUMENTS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  if (mixes_bfloat16(query, o)) return sdpa_through_float(query, key, value, o, &sdpa_cpu);
  check_sdpa(query, key, value, o);
  if (why_sdpa_composed(query, key, value, o))
    return sdpa_composed(query, key, value, ATTEND_ATTENTION_NAMES);
  const auto [output, weights, largest, inverse] =
      run_sdpa_forward(query, key, value, o, /*for_backward=*/false);
  return {output, weights};
}

SdpaTrained sdpa_training_cpu(ATTEND_SDPA_ARGUMENTS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sdpa(query, key, value, o);
  if (const char* reason = why_sdpa_composed(query, key, value, o))
    ShapeCheck("attend::sdpa_training").unsupported(reason);
  return run_sdpa_forward(query, key, value, o, /*for_backward=*/true);
}

SdpaAllGradients sdpa_backward_cpu(ATTEND_SDPA_BACKWARD_ARGUMENTS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sdpa(query, key, value, o);
  ShapeCheck n("attend::sdpa_backward");
  n("query", query, {"B", "H", "Lq", "D"})("output", output, {"B", "H", "Lq", "Dv"})(
      "value", value, {"B", "Hkv", "Lk", "Dv"});
  for (const at::Tensor& t : {largest, inverse})
    if (t.sizes() != query.sizes().slice(0, 3) || t.dtype() != sums_of(query).dtype())
      fail_usage("attend::sdpa_backward: largest and inverse must be sdpa_training's");
  n.optional("grad_output", or_undefined(grad_output), {"B", "H", "Lq", "Dv"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "H", "Lq", "Lk"});
  if (const char* reason = why_sdpa_composed(query, key, value, o)) n.unsupported(reason);
  if (want_bias && !o.bias.defined())
    fail_usage("attend::sdpa_backward: want_bias is true but there is no bias");
  if (grad_weights || !grad_output) {
    const auto type = query.scalar_type(), sums = c10::typeMetaToScalarType(sums_of(query).dtype());
    const auto wide = [&](const at::Tensor& t) { return t.defined() ? t.to(sums) : t; };
    AttentionOptions with = o;
    with.bias = wide(o.bias);
    const SdpaGradients g =
        compose::sdpa_backward(wide(query), wide(key), wide(value), with,
                               wide(or_undefined(grad_output)), wide(or_undefined(grad_weights)));
    note_composed("attend::sdpa_backward",
                  grad_weights ? "the weights have a gradient" : "the output has no gradient");
    return {g.query.to(type), g.key.to(type), g.value.to(type),
            want_bias ? g.bias.to(type) : sdpa_none(query)};
  }
  return run_sdpa_backward(query, key, value, o, {output, largest, inverse}, *grad_output,
                           want_bias);
}

SdpaPair sdpa_composed(ATTEND_SDPA_ARGUMENTS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  check_sdpa(query, key, value, o);
  const char* reason = why_sdpa_composed(query, key, value, o);
  auto out = registered_result(compose::sdpa(query, key, value, o));
  note_composed(kSdpa, reason ? reason : "asked for");
  return out;
}

SdpaPair sdpa_meta(ATTEND_SDPA_ARGUMENTS) {
  check_sdpa(query, key, value, attention_options(ATTEND_ATTENTION_NAMES));
  const auto q = query.sym_sizes();
  const auto output = at::empty_symint({q[0], q[1], q[2], value.sym_size(3)}, query.options());
  return {output, need_weights
                      ? at::empty_symint({q[0], q[1], q[2], key.sym_size(2)}, query.options())
                      : sdpa_none(query)};
}

SdpaTrained sdpa_training_meta(ATTEND_SDPA_ARGUMENTS) {
  const auto [output, weights] = sdpa_meta(query, key, value, ATTEND_ATTENTION_NAMES);
  const auto a_row = [&] {
    return at::empty_symint(query.sym_sizes().slice(0, 3), sums_of(query));
  };
  return {output, weights, a_row(), a_row()};
}

SdpaAllGradients sdpa_backward_meta(ATTEND_SDPA_BACKWARD_ARGUMENTS) {
  const auto like = [&](const at::Tensor& t) {
    return at::empty_symint(t.sym_sizes(), query.options());
  };
  return {like(query), like(key), like(value), want_bias && bias ? like(*bias) : sdpa_none(query)};
}

struct SdpaFunction : torch::autograd::Function<SdpaFunction> {
  /// The bias stands beside the options that hold it because autograd sees tensors among the arguments alone.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const OptionalTensor& /*bias*/,
                               const AttentionOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(sdpa_training_cpu)>("attend::sdpa_training");
    const auto [output, weights, largest, inverse] =
        op.call(query, key, value, ATTEND_ATTENTION_FROM(o));
    ctx->set_materialize_grads(false);
    save_with_options(ctx, {query, key, value, output, largest, inverse}, o);
    return {output, weights};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    AttentionOptions o = load_options(ctx, saved, 6);
    if (!o.need_weights) grads[1] = at::Tensor();
    variable_list found(5);  // query, key, value, bias, and the options, which have none
    if (!grads[0].defined() && !grads[1].defined()) return found;
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      o.need_weights = true;
      found = gradients_by_recomposing(
          {saved[0], saved[1], saved[2], o.bias}, grads, [&](const variable_list& in) {
            const auto type = in[0].scalar_type();
            const auto wide = [&](const at::Tensor& t) {
              return type == at::kBFloat16 ? in_float(t) : t;
            };
            AttentionOptions with = o;
            with.bias = wide(in[3]);
            const auto [output, weights] =
                compose::sdpa(wide(in[0]), wide(in[1]), wide(in[2]), with);
            return variable_list{output.to(type), weights.to(type)};
          });
      found.resize(5);
      return found;
    }
    const bool want_bias = o.bias.defined() && ctx->needs_input_grad(3);
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(sdpa_backward_cpu)>("attend::sdpa_backward");
    std::tie(found[0], found[1], found[2], found[3]) =
        op.call(or_none(grads[0]), or_none(grads[1]), saved[0], saved[1], saved[2], saved[3],
                saved[4], saved[5], want_bias, ATTEND_ATTENTION_FROM(o));
    if (!want_bias) found[3] = at::Tensor();
    return found;
  }
};

SdpaPair sdpa_autograd(ATTEND_SDPA_ARGUMENTS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  if (mixes_bfloat16(query, o)) return sdpa_through_float(query, key, value, o, &sdpa_autograd);
  if (why_sdpa_composed(query, key, value, o))  // differentiates itself
    return sdpa_composed(query, key, value, ATTEND_ATTENTION_NAMES);
  if (must_differentiate({query, key, value, o.bias})) {
    auto out = SdpaFunction::apply(query, key, value, bias, o);
    return {out[0], out[1]};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(sdpa_cpu)>("attend::sdpa");
  return op.call(query, key, value, ATTEND_ATTENTION_NAMES);
}

}  // namespace

AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const AttentionOptions& o) {
  if (!query.defined() || !key.defined() || !value.defined()) check_sdpa(query, key, value, o);
  static const auto op = dispatched<decltype(sdpa_cpu)>("attend::sdpa");
  return attention_result(op.call(query, key, value, ATTEND_ATTENTION_FROM(o)), o);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("sdpa(Tensor query, Tensor key, Tensor value, " ATTEND_ATTENTION_SCHEMA
        ") -> (Tensor output, Tensor weights)");
  m.def("sdpa_training(Tensor query, Tensor key, Tensor value, " ATTEND_ATTENTION_PLAIN_SCHEMA
        ") -> (Tensor output, Tensor weights, Tensor largest, Tensor inverse)");
  m.def(
      "sdpa_backward(Tensor? grad_output, Tensor? grad_weights, Tensor query, Tensor key, Tensor "
      "value, Tensor output,"
      " Tensor largest, Tensor inverse, bool want_bias, " ATTEND_ATTENTION_PLAIN_SCHEMA
      ") -> (Tensor grad_query, Tensor grad_key, Tensor grad_value, Tensor grad_bias)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("sdpa", &sdpa_cpu);
  m.impl("sdpa_training", &sdpa_training_cpu);
  m.impl("sdpa_backward", &sdpa_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("sdpa", &sdpa_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("sdpa", &sdpa_meta);
  m.impl("sdpa_training", &sdpa_training_meta);
  m.impl("sdpa_backward", &sdpa_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("sdpa", &sdpa_autograd); }

}  // namespace attend
