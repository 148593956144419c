#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend {

/// Memory of the pool for at least so many bytes, at a 64-byte boundary.
at::Tensor pooled_bytes_for(std::int64_t bytes);

}  // namespace attend
