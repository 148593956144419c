#include "ops/filterbank.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>

#include "attend/kernels/filterbank.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using FilterbankPair = std::tuple<at::Tensor, at::Tensor>;
using FilterbankNeeds = std::array<bool, 2>;  // whether image or patch, and window, need a gradient
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char *kFilterbankRead = "attend::filterbank_read",
                     *kFilterbankWrite = "attend::filterbank_write";

/// From the pool: fresh memory for a batch of images costs more in page faults than the kernel takes.
at::Tensor filterbank_gradient(bool needed, at::IntArrayRef sizes, const at::Tensor& like) {
  return needed ? pooled_empty(sizes, like.options()) : at::empty({0}, like.options());
}

template <class T>
T* filterbank_data(const at::Tensor& t, bool needed) {
  return needed ? t.mutable_data_ptr<T>() : nullptr;
}

void check_filterbank_kept(ShapeCheck& check, const OptionalTensor& kept, const at::Tensor& like,
                           std::int64_t size) {
  if (!kept) return;
  if (kept->dim() != 2 || kept->size(0) != like.size(0) || kept->size(1) != size ||
      !kept->is_contiguous() || kept->scalar_type() != like.scalar_type())
    check.unsupported("kept is not what the forward op of the same inputs made");
}

/// What a training forward kept, which the kernels of backward only read; or null.
template <class T>
T* filterbank_kept(const OptionalTensor& kept) {
  return kept ? const_cast<T*>(kept->const_data_ptr<T>()) : nullptr;
}

/// The kernel's view of an image, and where its rows are.
template <class T, class Problem>
void set_image_strides(const at::Tensor& image, Problem& p) {
  p.batch_stride = image.stride(0), p.channel_stride = image.stride(1),
  p.row_stride = image.stride(2);
}

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

/// Tensors of a read that the kernel's pointers point into.
template <class T>
struct FilterbankReadArguments {
  at::Tensor image, window, workspace;
  kernels::FilterbankRead<T> p;

  FilterbankReadArguments(const at::Tensor& image_, const at::Tensor& window_, std::int64_t n)
      : image(with_unit_last_stride(image_)), window(window_.contiguous()) {
    p.shape = {image.size(0), image.size(1), image.size(2), image.size(3), n};
    p.window = window.const_data_ptr<T>(), p.image = image.const_data_ptr<T>();
    set_image_strides<T>(image, p);
    workspace = pooled_empty(kernels::filterbank_workspace(p.shape), image.options());
    p.workspace = workspace.mutable_data_ptr<T>();
  }
};

template <class T>
struct FilterbankWriteArguments {
  at::Tensor patch, window, workspace;
  kernels::FilterbankWrite<T> p;

  FilterbankWriteArguments(const at::Tensor& patch_, const at::Tensor& window_, std::int64_t height,
                           std::int64_t width)
      : patch(patch_.contiguous()), window(window_.contiguous()) {
    p.shape = {patch.size(0), patch.size(1), height, width, patch.size(2)};
    p.window = window.const_data_ptr<T>(), p.patch = patch.const_data_ptr<T>();
    workspace = pooled_empty(kernels::filterbank_workspace(p.shape), patch.options());
    p.workspace = workspace.mutable_data_ptr<T>();
  }
};

/// (output, what backward can use or undefined)
FilterbankPair filterbank_read_fused(const at::Tensor& image, const at::Tensor& window,
                                     std::int64_t n, bool keep) {
  at::Tensor output = pooled_empty({image.size(0), image.size(1), n, n}, image.options()), kept;
  with_scalar_type(image, [&](auto zero) {
    using T = decltype(zero);
    FilterbankReadArguments<T> a(image, window, n);
    if (keep)
      kept =
          pooled_empty({image.size(0), kernels::filterbank_read_kept(a.p.shape)}, image.options());
    a.p.output = output.mutable_data_ptr<T>(), a.p.kept = filterbank_data<T>(kept, keep);
    kernels::filterbank_read(a.p);
  });
  note_fused(kFilterbankRead);
  return {output, kept};
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

FilterbankPair filterbank_read_backward_cpu(const at::Tensor& grad_output, const at::Tensor& image,
                                            const at::Tensor& window, std::int64_t n,
                                            FilterbankNeeds needs, const OptionalTensor& kept) {
  check_filterbank_read(image, window, n);
  ShapeCheck check("attend::filterbank_read_backward");
  check("image", image, {"B", "C", "height", "width"});
  if (const char* reason = why_not_fused({&image})) check.unsupported(reason);
  check("grad_output", grad_output, {"B", "C", "N", "N"});
  if (check.size("N") != n) check.unsupported("grad_output is not [B, C, n, n]");
  const at::Tensor given = grad_output.contiguous();
  at::Tensor grad_image = filterbank_gradient(needs[0], image.sizes(), image);
  at::Tensor grad_window = filterbank_gradient(needs[1], window.sizes(), image);
  with_scalar_type(image, [&](auto zero) {
    using T = decltype(zero);
    const FilterbankReadArguments<T> a(image, window, n);
    check_filterbank_kept(check, kept, image, kernels::filterbank_read_kept(a.p.shape));
    kernels::FilterbankReadBackward<T> p;
    p.forward = a.p, p.forward.kept = filterbank_kept<T>(kept),
    p.grad_output = given.const_data_ptr<T>();
    p.grad_image = filterbank_data<T>(grad_image, needs[0]),
    p.grad_window = filterbank_data<T>(grad_window, needs[1]);
    kernels::filterbank_read_backward(p);
  });
  note_fused("attend::filterbank_read_backward");
  return {grad_image, grad_window};
}

FilterbankPair filterbank_write_fused(const at::Tensor& patch, const at::Tensor& window,
                                      std::int64_t height, std::int64_t width, bool keep) {
  at::Tensor output = pooled_empty({patch.size(0), patch.size(1), height, width}, patch.options()),
             kept;
  with_scalar_type(patch, [&](auto zero) {
    using T = decltype(zero);
    FilterbankWriteArguments<T> a(patch, window, height, width);
    if (keep)
      kept =
          pooled_empty({patch.size(0), kernels::filterbank_write_kept(a.p.shape)}, patch.options());
    a.p.output = output.mutable_data_ptr<T>(), a.p.kept = filterbank_data<T>(kept, keep);
    kernels::filterbank_write(a.p);
  });
  note_fused(kFilterbankWrite);
  return {output, kept};
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

FilterbankPair filterbank_write_backward_cpu(const at::Tensor& grad_output, const at::Tensor& patch,
                                             const at::Tensor& window, FilterbankNeeds needs,
                                             const OptionalTensor& kept) {
  ShapeCheck check("attend::filterbank_write_backward");
  check("patch", patch, {"B", "C", "N", "N"})("grad_output", grad_output,
                                              {"B", "C", "height", "width"});
  check_filterbank_write(patch, window, grad_output.size(2), grad_output.size(3));
  if (const char* reason = why_not_fused({&patch})) check.unsupported(reason);
  const at::Tensor given = with_unit_last_stride(grad_output);
  at::Tensor grad_patch = filterbank_gradient(needs[0], patch.sizes(), patch);
  at::Tensor grad_window = filterbank_gradient(needs[1], window.sizes(), patch);
  with_scalar_type(patch, [&](auto zero) {
    using T = decltype(zero);
    const FilterbankWriteArguments<T> a(patch, window, given.size(2), given.size(3));
    check_filterbank_kept(check, kept, patch, kernels::filterbank_write_kept(a.p.shape));
    kernels::FilterbankWriteBackward<T> p;
    p.forward = a.p, p.forward.kept = filterbank_kept<T>(kept),
    p.grad_output = given.const_data_ptr<T>();
    set_image_strides<T>(given, p);
    p.grad_patch = filterbank_data<T>(grad_patch, needs[0]),
    p.grad_window = filterbank_data<T>(grad_window, needs[1]);
    kernels::filterbank_write_backward(p);
  });
  note_fused("attend::filterbank_write_backward");
  return {grad_patch, grad_window};
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
