#pragma once
#include <vector>

#include "support/compare.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::test {

/// run() gives tensors that on every SIMD target are as good as `composed` against `truth`, and with every number of threads
/// the same bits. on_each() says what else must hold after a run on a forced target.
template <class Run, class Each>
void expect_agreement_everywhere(const Run& run, const std::vector<at::Tensor>& composed,
                                 const std::vector<at::Tensor>& truth, const Each& on_each) {
  for_each_target([&] {
    const auto ours = run();
    on_each();
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(as_good_as(ours[i], composed[i], truth[i])) << i;
  });
  const auto once = run();
  for (const int threads : {1, 2, 3}) {
    const WithThreads with(threads);
    const auto again = run();
    for (std::size_t i = 0; i < once.size(); ++i)
      EXPECT_TRUE(same_bits(once[i], again[i])) << threads << " threads, " << i;
  }
}

template <class Run>
void expect_agreement_everywhere(const Run& run, const std::vector<at::Tensor>& composed,
                                 const std::vector<at::Tensor>& truth) {
  expect_agreement_everywhere(run, composed, truth, [] {});
}

}  // namespace attend::test
