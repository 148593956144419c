#include "ops/filterbank.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attend/kernels/filterbank.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor filterbank_read_composed(const at::Tensor& image, const at::Tensor& window,
                                    std::int64_t n) {
  const char* reason = why_not_fused({&image});
  at::Tensor out = compose::filterbank_read(image, window, n);
  note_composed(kFilterbankRead, reason ? reason : "asked for");
  return out;
}

at::Tensor filterbank_write_composed(const at::Tensor& patch, const at::Tensor& window,
                                     std::int64_t height, std::int64_t width) {
  const char* reason = why_not_fused({&patch});
  at::Tensor out = compose::filterbank_write(patch, window, height, width);
  note_composed(kFilterbankWrite, reason ? reason : "asked for");
  return out;
}

at::Tensor filterbank_read_cpu(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  check_filterbank_read(image, window, n);
  if (why_not_fused({&image})) return filterbank_read_composed(image, window, n);
  return std::get<0>(filterbank_read_fused(image, window, n, /*keep=*/false));
}

FilterbankPair filterbank_read_training_cpu(const at::Tensor& image, const at::Tensor& window,
                                            std::int64_t n) {
  check_filterbank_read(image, window, n);
  if (const char* reason = why_not_fused({&image}))
    ShapeCheck("attend::filterbank_read_training").unsupported(reason);
  return filterbank_read_fused(image, window, n, /*keep=*/true);
}

at::Tensor filterbank_write_cpu(const at::Tensor& patch, const at::Tensor& window,
                                std::int64_t height, std::int64_t width) {
  check_filterbank_write(patch, window, height, width);
  if (why_not_fused({&patch})) return filterbank_write_composed(patch, window, height, width);
  return std::get<0>(filterbank_write_fused(patch, window, height, width, /*keep=*/false));
}

FilterbankPair filterbank_write_training_cpu(const at::Tensor& patch, const at::Tensor& window,
                                             std::int64_t height, std::int64_t width) {
  check_filterbank_write(patch, window, height, width);
  if (const char* reason = why_not_fused({&patch}))
    ShapeCheck("attend::filterbank_write_training").unsupported(reason);
  return filterbank_write_fused(patch, window, height, width, /*keep=*/true);
}

at::Tensor filterbank_read_meta(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  TORCH_CHECK(image.dim() == 4 && window.dim() == 2,
              "attend::filterbank_read: image must be [B, C, height, width], window [B, 5]");
  return at::empty_symint({image.sym_size(0), image.sym_size(1), n, n}, image.options());
}

at::Tensor filterbank_write_meta(const at::Tensor& patch, const at::Tensor& window,
                                 std::int64_t height, std::int64_t width) {
  TORCH_CHECK(patch.dim() == 4 && window.dim() == 2,
              "attend::filterbank_write: patch must be [B, C, N, N], window [B, 5]");
  return at::empty_symint({patch.sym_size(0), patch.sym_size(1), height, width}, patch.options());
}

/// The kernels' layout of what a forward keeps is for sizes that are numbers.
at::Tensor filterbank_kept_meta(const at::Tensor& like, const c10::SymInt& batch,
                                std::int64_t (*size)(const kernels::FilterbankShape&),
                                const std::array<c10::SymInt, 4>& shape) {
  const auto number = [&](int i) { return shape[i].guard_int(__FILE__, __LINE__); };
  return at::empty_symint({batch, size({1, number(0), number(1), number(2), number(3)})},
                          like.options());
}

FilterbankPair filterbank_read_training_meta(const at::Tensor& image, const at::Tensor& window,
                                             std::int64_t n) {
  at::Tensor output = filterbank_read_meta(image, window, n);
  return {output,
          filterbank_kept_meta(image, image.sym_size(0), &kernels::filterbank_read_kept,
                               {image.sym_size(1), image.sym_size(2), image.sym_size(3), n})};
}

FilterbankPair filterbank_write_training_meta(const at::Tensor& patch, const at::Tensor& window,
                                              std::int64_t height, std::int64_t width) {
  at::Tensor output = filterbank_write_meta(patch, window, height, width);
  return {output, filterbank_kept_meta(patch, patch.sym_size(0), &kernels::filterbank_write_kept,
                                       {patch.sym_size(1), height, width, patch.sym_size(2)})};
}

FilterbankPair filterbank_backward_meta(const at::Tensor& first, const at::Tensor& window,
                                        FilterbankNeeds needs) {
  const auto like = [&](const at::Tensor& t, bool needed) {
    return needed ? at::empty_symint(t.sym_sizes(), t.options()) : at::empty({0}, t.options());
  };
  return {like(first, needs[0]), like(window, needs[1])};
}

FilterbankPair filterbank_read_backward_meta(const at::Tensor&, const at::Tensor& image,
                                             const at::Tensor& window, std::int64_t,
                                             FilterbankNeeds needs, const OptionalTensor&) {
  return filterbank_backward_meta(image, window, needs);
}

FilterbankPair filterbank_write_backward_meta(const at::Tensor&, const at::Tensor& patch,
                                              const at::Tensor& window, FilterbankNeeds needs,
                                              const OptionalTensor&) {
  return filterbank_backward_meta(patch, window, needs);
}

at::Tensor call_filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  static const auto op = dispatched<decltype(filterbank_read_cpu)>(kFilterbankRead);
  return op.call(image, window, n);
}

at::Tensor call_filterbank_write(const at::Tensor& patch, const at::Tensor& window,
                                 std::int64_t height, std::int64_t width) {
  static const auto op = dispatched<decltype(filterbank_write_cpu)>(kFilterbankWrite);
  return op.call(patch, window, height, width);
}

FilterbankNeeds filterbank_needs(const variable_list& saved) {
  return {saved[0].requires_grad(), saved[1].requires_grad()};
}

/// `count` gradients, the first two from `made` where they are needed.
variable_list filterbank_gradients(const FilterbankPair& made, FilterbankNeeds needs,
                                   std::size_t count) {
  variable_list result(count);
  if (needs[0]) result[0] = std::get<0>(made);
  if (needs[1]) result[1] = std::get<1>(made);
  return result;
}

struct FilterbankReadFunction : torch::autograd::Function<FilterbankReadFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& image, const at::Tensor& window,
                            std::int64_t n) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        dispatched<decltype(filterbank_read_training_cpu)>("attend::filterbank_read_training");
    const auto [output, kept] = op.call(image, window, n);
    ctx->save_for_backward({image, window, kept});
    ctx->saved_data["n"] = n;
    return output;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        dispatched<decltype(filterbank_read_backward_cpu)>("attend::filterbank_read_backward");
    const auto saved = ctx->get_saved_variables();
    const std::int64_t n = ctx->saved_data["n"].toInt();
    const FilterbankNeeds needs = filterbank_needs(saved);
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      const TensorList through =
          gradients_by_recomposing({saved[0], saved[1]}, grads, [n](const TensorList& in) {
            return TensorList{compose::filterbank_read(in[0], in[1], n)};
          });
      return filterbank_gradients({through[0], through[1]}, needs, 3);
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    return filterbank_gradients(op.call(grads[0], saved[0], saved[1], n, needs, saved[2]), needs,
                                3);
  }
};

struct FilterbankWriteFunction : torch::autograd::Function<FilterbankWriteFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& patch, const at::Tensor& window,
                            std::int64_t height, std::int64_t width) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        dispatched<decltype(filterbank_write_training_cpu)>("attend::filterbank_write_training");
    const auto [output, kept] = op.call(patch, window, height, width);
    ctx->save_for_backward({patch, window, kept});
    return output;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        dispatched<decltype(filterbank_write_backward_cpu)>("attend::filterbank_write_backward");
    const auto saved = ctx->get_saved_variables();
    const FilterbankNeeds needs = filterbank_needs(saved);
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      const std::int64_t height = grads[0].size(2), width = grads[0].size(3);
      const TensorList through =
          gradients_by_recomposing({saved[0], saved[1]}, grads, [=](const TensorList& in) {
            return TensorList{compose::filterbank_write(in[0], in[1], height, width)};
          });
      return filterbank_gradients({through[0], through[1]}, needs, 4);
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    return filterbank_gradients(op.call(grads[0], saved[0], saved[1], needs, saved[2]), needs, 4);
  }
};

at::Tensor filterbank_read_autograd(const at::Tensor& image, const at::Tensor& window,
                                    std::int64_t n) {
  if (why_not_fused({&image}))
    return filterbank_read_composed(image, window, n);  // differentiates itself
  if (must_differentiate({image, window})) return FilterbankReadFunction::apply(image, window, n);
  const at::AutoDispatchBelowADInplaceOrView below;
  return call_filterbank_read(image, window, n);
}

at::Tensor filterbank_write_autograd(const at::Tensor& patch, const at::Tensor& window,
                                     std::int64_t height, std::int64_t width) {
  if (why_not_fused({&patch}))
    return filterbank_write_composed(patch, window, height, width);  // differentiates itself
  if (must_differentiate({patch, window}))
    return FilterbankWriteFunction::apply(patch, window, height, width);
  const at::AutoDispatchBelowADInplaceOrView below;
  return call_filterbank_write(patch, window, height, width);
}

}  // namespace

void check_filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  ShapeCheck check(kFilterbankRead);
  check("image", image, {"B", "C", "height", "width"})("window", window, {"B", "5"})
      .at_least("n", n, 1);
  check.at_least("height", check.size("height"), 1).at_least("width", check.size("width"), 1);
}

void check_filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width) {
  ShapeCheck check(kFilterbankWrite);
  check("patch", patch, {"B", "C", "N", "N"})("window", window, {"B", "5"})
      .at_least("N", check.size("N"), 1);
  check.at_least("height", height, 1).at_least("width", width, 1);
}

at::Tensor filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  if (!image.defined() || !window.defined()) check_filterbank_read(image, window, n);
  return call_filterbank_read(image, window, n);
}

at::Tensor filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width) {
  if (!patch.defined() || !window.defined()) check_filterbank_write(patch, window, height, width);
  return call_filterbank_write(patch, window, height, width);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("filterbank_read(Tensor image, Tensor window, int n) -> Tensor");
  m.def(
      "filterbank_read_training(Tensor image, Tensor window, int n) -> (Tensor output, Tensor "
      "kept)");
  m.def(
      "filterbank_read_backward(Tensor grad_output, Tensor image, Tensor window, int n, bool[2] "
      "needs, Tensor? kept=None)"
      " -> (Tensor grad_image, Tensor grad_window)");
  m.def("filterbank_write(Tensor patch, Tensor window, int height, int width) -> Tensor");
  m.def(
      "filterbank_write_training(Tensor patch, Tensor window, int height, int width) -> (Tensor "
      "output, Tensor kept)");
  m.def(
      "filterbank_write_backward(Tensor grad_output, Tensor patch, Tensor window, bool[2] needs, "
      "Tensor? kept=None)"
      " -> (Tensor grad_patch, Tensor grad_window)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("filterbank_read", &filterbank_read_cpu);
  m.impl("filterbank_read_training", &filterbank_read_training_cpu);
  m.impl("filterbank_read_backward", &filterbank_read_backward_cpu);
  m.impl("filterbank_write", &filterbank_write_cpu);
  m.impl("filterbank_write_training", &filterbank_write_training_cpu);
  m.impl("filterbank_write_backward", &filterbank_write_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("filterbank_read", &filterbank_read_composed);
  m.impl("filterbank_write", &filterbank_write_composed);
}

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("filterbank_read", &filterbank_read_meta);
  m.impl("filterbank_read_training", &filterbank_read_training_meta);
  m.impl("filterbank_read_backward", &filterbank_read_backward_meta);
  m.impl("filterbank_write", &filterbank_write_meta);
  m.impl("filterbank_write_training", &filterbank_write_training_meta);
  m.impl("filterbank_write_backward", &filterbank_write_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) {
  m.impl("filterbank_read", &filterbank_read_autograd);
  m.impl("filterbank_write", &filterbank_write_autograd);
}

}  // namespace attend
