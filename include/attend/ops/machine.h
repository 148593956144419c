#pragma once
#include <string>
#include <vector>

namespace attend {

/// What this process runs on and with; for `doctor`, model cards and benchmarks.
struct Machine {
  std::string cpu;  // "AMD EPYC 9R14", as the system names it; "unknown" where it doesn't
  int cores = 0;    // that this process may use
  std::vector<std::string>
      simd_targets;         // that this CPU can run and the kernels were compiled for, best first
  std::string simd_target;  // of a kernel that was run just now
  int threads = 0, torch_threads = 0;        // of the kernels, of libtorch
  std::string torch_version, torch_library;  // "2.13.0", the file that was loaded
};

/// Cost: one small kernel call.
Machine machine();

/// Sets the threads of the kernels and of libtorch alike; 0 or less means all cores. Call it before the first op.
void use_threads(int n);

}  // namespace attend
