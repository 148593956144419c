#pragma once
#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <vector>

#include "kernels/simd/target.h"

namespace attend::test {

/// Makes kernels run one Highway target for the life of the object.
class ForcedTarget {
 public:
  explicit ForcedTarget(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
  ~ForcedTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

/// The targets that were compiled and that this CPU has, best first.
inline std::vector<std::int64_t> available_targets() { return hwy::SupportedAndGeneratedTargets(); }

/// Runs check() once per available target and proves that a kernel of that very target ran in it:
/// check() must call at least one kernel on this thread.
template <class F>
void for_each_target(F&& check) {
  const auto targets = available_targets();
  ASSERT_GE(targets.size(), 2u) << "only one SIMD target: nothing to compare";
  for (const std::int64_t target : targets) {
    SCOPED_TRACE(hwy::TargetName(target));
    const ForcedTarget forced(target);
    kernels::note_simd_target(0);
    check();
    EXPECT_EQ(kernels::last_simd_target(), target)
        << "forced " << hwy::TargetName(target) << " but " << kernels::last_simd_target_name()
        << " ran";
  }
}

}  // namespace attend::test
