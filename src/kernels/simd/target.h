#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace attend::kernels {

/// The Highway target (HWY_AVX3, …) of the kernel that ran last on this thread; 0 before the first.
/// Every kernel entry notes it, so that a test can prove which code ran and last_dispatch() can say
/// so.
std::int64_t last_simd_target();

/// Its name ("AVX3", "AVX2", "SSE4", "EMU128" …); "none" before the first kernel.
const char* last_simd_target_name();

/// The targets that this CPU can run and the kernels were compiled for, best first.
std::vector<std::string> simd_target_names();

/// Called by a kernel's per-target entry with its own HWY_TARGET.
void note_simd_target(std::int64_t target);

}  // namespace attend::kernels
