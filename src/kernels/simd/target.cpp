#include "kernels/simd/target.h"

#include <hwy/detect_targets.h>
#include <hwy/targets.h>

namespace attend::kernels {
namespace {
thread_local std::int64_t t_target = 0;
}  // namespace

std::int64_t last_simd_target() { return t_target; }

const char* last_simd_target_name() { return t_target == 0 ? "none" : hwy::TargetName(t_target); }

std::vector<std::string> simd_target_names() {
  std::vector<std::string> names;
  std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  for (; left != 0; left &= left - 1)
    names.push_back(hwy::TargetName(left & -left));  // lowest bit = best target
  return names;
}

void note_simd_target(std::int64_t target) { t_target = target; }

}  // namespace attend::kernels
