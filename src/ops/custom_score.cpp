#include "attend/ops/custom_score.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/repeat_interleave.h>
#include <torch/csrc/autograd/custom_function.h>

#include <type_traits>
#include <vector>

#include "attend/base/error.h"
#include "attend/kernels/local.h"
#include "kernels/attention/visible.h"
#include "ops/arena.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"
#include "ops/kernel_visibility.h"

// The kernel is that of local attention: one query and a run of keys, whose scores go through a hook. One head at a time, so that
// what backward keeps is one head's.
namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
constexpr const char* kCustomScore = "attend::custom_score";
constexpr std::int64_t kMostCustomKeys = std::int64_t{1} << 24;

void check_custom_score(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                        const AttentionOptions& o) {
  ShapeCheck n(kCustomScore);
  n("query", query, {"B", "H", "Lq", "D"})("key", key, {"B", "Hkv", "Lk", "D"})(
      "value", value, {"B", "Hkv", "Lk", "Dv"});
  const std::int64_t heads = n.size("H"), key_heads = n.size("Hkv");
  if (key_heads == 0 ? heads != 0 : heads % key_heads != 0)
    fail_usage(std::string(kCustomScore) + ": query has H=" + std::to_string(heads) +
               " heads, which is not a multiple of key's Hkv=" + std::to_string(key_heads));
  check_attention_options(n, kCustomScore, o, {n.size("B"), heads, n.size("Lq"), n.size("Lk")});
  if (o.mask.defined() || o.bias.defined() || o.dropout != 0)
    fail_usage(std::string(kCustomScore) +
               ": mask, bias and dropout are not taken; write them into the score function");
  n.countable("output", {"B", "H", "Lq", "Dv"});
  if (o.need_weights) n.countable("weights", {"B", "H", "Lq", "Lk"});
  if (const char* reason = why_not_fused({&query})) n.unsupported(reason);
  if (n.size("Lk") >= kMostCustomKeys) n.unsupported("there are 2^24 keys or more");
}

/// Which function, in which batch row and head: what the kernel hands back to its hook.
struct HeadScores {
  const ScoreLoops* loops;
  std::int64_t batch, head;
};

template <class T>
void score_hook(const void* context, std::int64_t, std::int64_t query, std::int64_t first,
                std::int64_t count, T* scores, T* slopes) {
  const auto& c = *static_cast<const HeadScores*>(context);
  const ScorePlace place{c.batch, c.head, query, first};
  if constexpr (std::is_same_v<T, float>)
    c.loops->in_float(c.loops->function.get(), place, count, scores, slopes);
  else
    c.loops->in_double(c.loops->function.get(), place, count, scores, slopes);
}

/// Heads of one call, each as the kernel's arguments. All tensors [B,H,·,·] with unit stride inside a row.
template <class T>
class CustomHeads {
 public:
  CustomHeads(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
              const AttentionOptions& o, const ScoreLoops& loops)
      : query_(with_unit_last_stride(q)),
        key_(with_unit_last_stride(k)),
        value_(with_unit_last_stride(v)),
        visibility_(o, {q.size(0), q.size(1), q.size(2), k.size(2)}),
        loops_(loops),
        spans_(static_cast<std::size_t>(q.size(2))) {
    p_.batch = 1, p_.queries = q.size(2), p_.keys = k.size(2), p_.width = q.size(3),
    p_.value_width = v.size(3);
    p_.query_row = query_.stride(2), p_.key_row = key_.stride(2), p_.value_row = value_.stride(2);
    p_.window = std::max<std::int64_t>(1, p_.keys),
    p_.scale = static_cast<T>(o.scale.value_or(1.0));
  }

  /// f(arguments, b, h, row): row counts heads; arguments live until f returns.
  template <class F>
  void each(F f) {
    for (std::int64_t b = 0; b < query_.size(0); ++b) {
      for (std::int64_t i = 0; i < p_.queries; ++i) {
        const kernels::KeyRange r =
            kernels::visible_keys(visibility_.facts, b, i, p_.queries, p_.keys);
        spans_[static_cast<std::size_t>(i)] = {r.begin, r.end - r.begin};
      }
      for (std::int64_t h = 0; h < query_.size(1); ++h) {
        const HeadScores scores{&loops_, b, h};
        p_.query = query_.const_data_ptr<T>() + b * query_.stride(0) + h * query_.stride(1);
        p_.key = key_.const_data_ptr<T>() + b * key_.stride(0) + h * key_.stride(1);
        p_.value = value_.const_data_ptr<T>() + b * value_.stride(0) + h * value_.stride(1);
        p_.spans = spans_.data(), p_.hook = {&score_hook<T>, &scores};
        f(p_, b * query_.size(1) + h);
      }
    }
  }
  const kernels::LocalForward<T>& any() const { return p_; }

 private:
  at::Tensor query_, key_, value_;
  KernelVisibility visibility_;
  const ScoreLoops& loops_;
  std::vector<kernels::KeySpan> spans_;
  kernels::LocalForward<T> p_;
};

AttentionResult run_custom_forward(const at::Tensor& query, const at::Tensor& key,
                                   const at::Tensor& value, const ScoreLoops& loops,
                                   const AttentionOptions& o) {
  const auto rows = query.sizes().slice(0, 3).vec();
  const auto with = [&](std::int64_t last) {
    return at::empty({rows[0], rows[1], rows[2], last}, query.options());
  };
  at::Tensor output = with(value.size(3)),
             weights = o.need_weights ? with(key.size(2)) : at::empty({0}, query.options());
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    CustomHeads<T> heads(query, key, value, o, loops);
    const at::Tensor scratch =
        pooled_empty(kernels::local_forward_workspace(heads.any()), query.options());
    heads.each([&](kernels::LocalForward<T> p, std::int64_t row) {
      p.output = output.template mutable_data_ptr<T>() + row * p.queries * p.value_width;
      p.weights = o.need_weights ? weights.template mutable_data_ptr<T>() + row * p.queries * p.keys
                                 : nullptr;
      p.workspace = scratch.template mutable_data_ptr<T>();
      kernels::local_forward(p);
    });
  });
  note_fused(kCustomScore);
  return {output, weights};
}

variable_list run_custom_backward(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const ScoreLoops& loops,
                                  const AttentionOptions& o, const at::Tensor& grad_output,
                                  const at::Tensor& grad_weights) {
  const auto like = [](const at::Tensor& t) {
    return at::empty(t.sizes(), t.options(), at::MemoryFormat::Contiguous);
  };
  at::Tensor d_query = like(query), d_key = like(key), d_value = like(value);
  const at::Tensor d_output = contiguous_or_undefined(grad_output),
                   d_weights = contiguous_or_undefined(grad_weights);
  with_scalar_type(query, [&](auto zero) {
    using T = decltype(zero);
    CustomHeads<T> heads(query, key, value, o, loops);
    const at::Tensor scratch =
        pooled_empty(kernels::local_backward_workspace(heads.any()), query.options());
    const at::Tensor places =
        pooled_empty(kernels::local_backward_places(heads.any()), query.options().dtype(at::kLong));
    heads.each([&](const kernels::LocalForward<T>& p, std::int64_t row) {
      kernels::LocalBackward<T> q;
      q.forward = p;
      if (d_output.defined())
        q.grad_output = d_output.template const_data_ptr<T>() + row * p.queries * p.value_width;
      if (d_weights.defined())
        q.grad_weights = d_weights.template const_data_ptr<T>() + row * p.queries * p.keys;
      q.grad_query = d_query.template mutable_data_ptr<T>() + row * p.queries * p.width;
      q.grad_key = d_key.template mutable_data_ptr<T>() + row * p.keys * p.width;
      q.grad_value = d_value.template mutable_data_ptr<T>() + row * p.keys * p.value_width;
      q.workspace = scratch.template mutable_data_ptr<T>();
      q.places = places.mutable_data_ptr<std::int64_t>();
      kernels::local_backward(q);
    });
  });
  note_fused("attend::custom_score_backward");
  return {d_query, d_key, d_value};
}

struct ScoreCapsule : torch::CustomClassHolder {
  explicit ScoreCapsule(const ScoreLoops& l) : loops(l) {}
  ScoreLoops loops;
};

struct CustomScoreFunction : torch::autograd::Function<CustomScoreFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, const ScoreLoops& loops,
                               const AttentionOptions& o) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    save_with_options(ctx, {query, key, value}, o);
    ctx->saved_data["loops"] = c10::IValue::make_capsule(c10::make_intrusive<ScoreCapsule>(loops));
    const auto [output, weights] = run_custom_forward(query, key, value, loops, o);
    return {output, weights};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    if (at::GradMode::is_enabled())
      fail_usage(std::string(kCustomScore) + ": has no second derivative");
    const auto saved = ctx->get_saved_variables();
    const AttentionOptions o = load_options(ctx, saved, 3);
    if (!o.need_weights) grads[1] = at::Tensor();
    if (!grads[0].defined() && !grads[1].defined()) return variable_list(5);
    const auto capsule =
        c10::static_intrusive_pointer_cast<ScoreCapsule>(ctx->saved_data["loops"].toCapsule());
    variable_list found =
        run_custom_backward(saved[0], saved[1], saved[2], capsule->loops, o, grads[0], grads[1]);
    found.resize(5);  // the function and the options have no gradient
    return found;
  }
};

}  // namespace

AttentionResult custom_score(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const ScoreLoops& loops,
                             const AttentionOptions& o) {
  check_custom_score(query, key, value, o);
  const std::int64_t group = key.size(1) == 0 ? 1 : query.size(1) / key.size(1);
  const at::Tensor k =
      group == 1
          ? key
          : at::repeat_interleave(key, group, 1);  // its backward adds the group's gradients up
  const at::Tensor v = group == 1 ? value : at::repeat_interleave(value, group, 1);
  if (!must_differentiate({query, k, v}))
    return attention_result(run_custom_forward(query, k, v, loops, o), o);
  const auto out = CustomScoreFunction::apply(query, k, v, loops, o);
  return attention_result({out[0], out[1]}, o);
}

}  // namespace attend
