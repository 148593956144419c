// DRAW's read and write on the kernels, forward and backward.
#include <ATen/ops/empty.h>

#include "attend/kernels/filterbank.h"
#include "ops/arena.h"
#include "ops/filterbank.h"

namespace attend {
namespace {

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

}  // namespace

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

}  // namespace attend
