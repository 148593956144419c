#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend {

/// An uninitialised dense tensor whose memory comes from a pool of this process and goes back there with the last
/// reference, from whatever thread. For what kernels save, scratch and return in every training step: the first touch of
/// a fresh 4 KB page costs about 2 µs, so 10 MB of new memory in a step cost as much as the step itself.
at::Tensor pooled_empty(at::IntArrayRef sizes, const at::TensorOptions& options);

/// The same for at least so many bytes of no type, at a 64-byte boundary.
at::Tensor pooled_bytes_for(std::int64_t bytes);

/// Bytes the pool holds for reuse; at most kArenaLimit. For tests.
std::int64_t pooled_bytes();
inline constexpr std::int64_t kArenaLimit = 256 << 20;

}  // namespace attend
