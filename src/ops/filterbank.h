#pragma once
#include <array>
#include <tuple>

#include "attend/ops/filterbank.h"
#include "ops/dispatch.h"
#include "ops/shape_check.h"

// What is bound to torch.ops.attend.filterbank_read and filterbank_write, and their training and backward ops.
namespace attend {

using FilterbankPair = std::tuple<at::Tensor, at::Tensor>;
using FilterbankNeeds = std::array<bool, 2>;  // whether image or patch, and window, need a gradient

inline constexpr const char *kFilterbankRead = "attend::filterbank_read",
                            *kFilterbankWrite = "attend::filterbank_write";

/// The shapes and dtypes that every path asks for. Throw Error(kUsage).
void check_filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n);
void check_filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width);

/// Of checked arguments that the kernels can take: (output, what backward can use, or undefined unless `keep`).
FilterbankPair filterbank_read_fused(const at::Tensor& image, const at::Tensor& window,
                                     std::int64_t n, bool keep);
FilterbankPair filterbank_write_fused(const at::Tensor& patch, const at::Tensor& window,
                                      std::int64_t height, std::int64_t width, bool keep);

/// (dimage or dpatch, dwindow); `kept` is what a training forward of the same inputs made, or none: it is made again.
FilterbankPair filterbank_read_backward_cpu(const at::Tensor& grad_output, const at::Tensor& image,
                                            const at::Tensor& window, std::int64_t n,
                                            FilterbankNeeds needs, const OptionalTensor& kept);
FilterbankPair filterbank_write_backward_cpu(const at::Tensor& grad_output, const at::Tensor& patch,
                                             const at::Tensor& window, FilterbankNeeds needs,
                                             const OptionalTensor& kept);

}  // namespace attend
