#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/kernels/sdpa.h"
#include "attend/ops/attention.h"
#include "ops/arena.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kOp = "attend::sdpa";
/// A block keeps its key range in the lanes' own type, where float counts exactly to here.
constexpr std::int64_t kMostKeys = std::int64_t{1} << 24;

void check(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const AttentionOptions& o) {
  ShapeCheck n(kOp);
  n("query", query, {"B", "H", "Lq", "D"})("key", key, {"B", "Hkv", "Lk", "D"})("value", value, {"B", "Hkv", "Lk", "Dv"});
  const std::int64_t heads = n.size("H"), key_heads = n.size("Hkv");
  if (key_heads == 0 ? heads != 0 : heads % key_heads != 0)
    fail_usage(std::string(kOp) + ": query has H=" + std::to_string(heads) + " heads, which is not a multiple of key's Hkv=" +
               std::to_string(key_heads));
  check_attention_options(n, kOp, o, {n.size("B"), heads, n.size("Lq"), n.size("Lk")});
}

double scale_of(const at::Tensor& query, const AttentionOptions& o) {
  return o.scale.value_or(1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, query.size(3)))));
}

const char* why_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const AttentionOptions& o) {
  if (const char* reason = why_not_fused({&query, &key, &value, &o.bias})) return reason;
  if (o.bias.defined() && o.bias.requires_grad() && at::GradMode::is_enabled()) return "the bias asks for a gradient";
  if (key.size(2) >= kMostKeys) return "there are 2^24 keys or more";
  return nullptr;
}

kernels::RowStrides row_strides(const at::Tensor& t) { return {t.stride(0), t.stride(1), t.stride(2)}; }

/// Strides of a tensor broadcast to the scores' [B,H,Lq,Lk].
kernels::ScoreStrides score_strides(const at::Tensor& t, at::IntArrayRef scores) {
  const at::Tensor wide = t.expand(scores);
  return {wide.stride(0), wide.stride(1), wide.stride(2), wide.stride(3)};
}

/// The kernel's arguments from checked tensors; keeps what had to be copied alive.
template <class T>
struct SdpaArguments {
  at::Tensor query, key, value, query_lengths, key_lengths;
  kernels::SdpaForward<T> p;

  SdpaArguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& o)
      : query(with_unit_last_stride(q)), key(with_unit_last_stride(k)), value(with_unit_last_stride(v)),
        query_lengths(contiguous_or_undefined(o.query_lengths)), key_lengths(contiguous_or_undefined(o.key_lengths)) {
    p.batch = q.size(0), p.heads = q.size(1), p.key_heads = k.size(1);
    p.queries = q.size(2), p.keys = k.size(2), p.width = q.size(3), p.value_width = v.size(3);
    p.query = query.const_data_ptr<T>(), p.key = key.const_data_ptr<T>(), p.value = value.const_data_ptr<T>();
    p.query_strides = row_strides(query), p.key_strides = row_strides(key), p.value_strides = row_strides(value);
    p.scale = static_cast<T>(scale_of(q, o)), p.dropout = o.dropout, p.seed = o.seed;
    const std::int64_t scores[] = {p.batch, p.heads, p.queries, p.keys};
    kernels::Visibility& see = p.visible;
    see.query_lengths = query_lengths.defined() ? query_lengths.const_data_ptr<std::int64_t>() : nullptr;
    see.key_lengths = key_lengths.defined() ? key_lengths.const_data_ptr<std::int64_t>() : nullptr;
    see.causal = o.causal, see.align_last = o.alignment == Alignment::kLast;
    see.window_left = o.window_left, see.window_right = o.window_right;
    if (o.mask.defined()) see.mask = o.mask.const_data_ptr<bool>(), see.mask_strides = score_strides(o.mask, scores);
    if (o.bias.defined()) p.bias = o.bias.const_data_ptr<T>(), p.bias_strides = score_strides(o.bias, scores);
  }
};

struct Forward {
  at::Tensor output, largest, inverse, weights;
};

Forward run_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const AttentionOptions& o,
                    bool for_backward) {
  const std::int64_t batch = query.size(0), heads = query.size(1), queries = query.size(2);
  Forward out;
  out.output = at::empty({batch, heads, queries, value.size(3)}, query.options());
  if (for_backward) {
    out.largest = at::empty({batch, heads, queries}, query.options());
    out.inverse = at::empty({batch, heads, queries}, query.options());
  }
  if (o.need_weights) out.weights = at::empty({batch, heads, queries, key.size(2)}, query.options());
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    SdpaArguments<T> a(query, key, value, o);
    a.p.output = out.output.template mutable_data_ptr<T>(), a.p.output_strides = row_strides(out.output);
    a.p.largest = for_backward ? out.largest.template mutable_data_ptr<T>() : nullptr;
    a.p.inverse = for_backward ? out.inverse.template mutable_data_ptr<T>() : nullptr;
    a.p.weights = o.need_weights ? out.weights.template mutable_data_ptr<T>() : nullptr;
    const at::Tensor scratch = pooled_empty(kernels::sdpa_forward_workspace(a.p), query.options());
    a.p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::sdpa_forward(a.p);
  });
  note_fused(kOp);
  return out;
}

variable_list run_backward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const AttentionOptions& o, const Forward& forward, const at::Tensor& grad_output) {
  const auto like = [](const at::Tensor& t) { return at::empty(t.sizes(), t.options(), at::MemoryFormat::Contiguous); };
  at::Tensor grad_query = like(query), grad_key = like(key), grad_value = like(value);
  const at::Tensor grad = with_unit_last_stride(grad_output);
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    SdpaArguments<T> a(query, key, value, o);
    kernels::SdpaBackward<T> p;
    p.forward = a.p;
    p.forward.output = forward.output.template mutable_data_ptr<T>(), p.forward.output_strides = row_strides(forward.output);
    p.forward.largest = forward.largest.template mutable_data_ptr<T>();
    p.forward.inverse = forward.inverse.template mutable_data_ptr<T>();
    p.grad_output = grad.template const_data_ptr<T>(), p.grad_output_strides = row_strides(grad);
    p.grad_query = grad_query.template mutable_data_ptr<T>();
    p.grad_key = grad_key.template mutable_data_ptr<T>();
    p.grad_value = grad_value.template mutable_data_ptr<T>();
    const at::Tensor scratch = pooled_empty(kernels::sdpa_backward_workspace(p), query.options());
    p.workspace = scratch.template mutable_data_ptr<T>();
    kernels::sdpa_backward(p);
  });
  note_fused("attend::sdpa_backward");
  return {grad_query, grad_key, grad_value};
}

struct SdpaFunction : torch::autograd::Function<SdpaFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const AttentionOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    const Forward f = run_forward(query, key, value, o, /*for_backward=*/true);
    ctx->save_for_backward({query, key, value, o.mask, o.bias, o.query_lengths, o.key_lengths, f.output, f.largest,
                            f.inverse});
    save_options(ctx, o);
    return o.need_weights ? variable_list{f.output, f.weights} : variable_list{f.output};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    grads.resize(2);   // the weights come second where they were asked for
    if (!grads[0].defined() && !grads[1].defined()) return variable_list(4);
    AttentionOptions o = load_options(ctx, saved, 3);
    variable_list found;
    if (at::GradMode::is_enabled() || grads[1].defined()) {   // second derivatives, or a loss on the weights
      o.need_weights = true;
      found = gradients_by_recomposing({saved[0], saved[1], saved[2]}, grads, [&](const variable_list& in) {
        const auto [output, weights] = compose::sdpa(in[0], in[1], in[2], o);
        return variable_list{output, weights};
      });
    } else {
      found = run_backward(saved[0], saved[1], saved[2], o, {saved[7], saved[8], saved[9], {}}, grads[0]);
    }
    found.resize(4);   // the options have no gradient
    return found;
  }
};

}  // namespace

AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const AttentionOptions& o) {
  check(query, key, value, o);
  if (const char* reason = why_composed(query, key, value, o)) {
    note_composed(kOp, reason);
    return compose::sdpa(query, key, value, o);
  }
  const bool differentiate =
      at::GradMode::is_enabled() && (query.requires_grad() || key.requires_grad() || value.requires_grad());
  if (differentiate) {
    auto out = SdpaFunction::apply(query, key, value, o);
    return {out[0], o.need_weights ? out[1] : at::Tensor()};
  }
  const Forward f = run_forward(query, key, value, o, /*for_backward=*/false);
  return {f.output, f.weights};
}

}  // namespace attend
