#pragma once
#include "attend/ops/filterbank.h"

namespace attend {

/// The shapes and dtypes that every path asks for. Throw Error(kUsage).
void check_filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n);
void check_filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width);

}  // namespace attend
