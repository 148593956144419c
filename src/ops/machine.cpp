#include "attend/ops/machine.h"

#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>
#include <sched.h>
#include <torch/headeronly/version.h>

#include <fstream>

#include "attend/base/threads.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/pool.h"
#include "kernels/simd/target.h"

namespace attend {
namespace {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "unknown";
}

/// Containers and taskset allow fewer cores than the machine has.
int allowed_cores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : at::get_num_threads();
}

std::string library_of(const void* symbol) {
  Dl_info info{};
  return ::dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "unknown";
}

}  // namespace

Machine machine() {
  Machine m;
  m.cpu = cpu_name();
  m.cores = allowed_cores();
  m.threads = threads();
  m.torch_threads = at::get_num_threads();
  m.torch_version = TORCH_VERSION;
  m.torch_library = library_of(reinterpret_cast<const void*>(&at::get_num_threads));
  pool(at::ones({1, 1, 1}), at::ones({1}));
  m.simd_target = last_dispatch().target;
  m.simd_targets = kernels::simd_target_names();
  return m;
}

void use_threads(int n) {
  const int cores = allowed_cores();
  const int wanted = n > 0 ? n : cores;
  set_threads(wanted);
  at::set_num_threads(wanted);
}

}  // namespace attend
