// The sparsemax kernel without torch: every array between bands of NaN, misaligned, on every SIMD target. Its values are checked
// in tests/ops/sparsemax_op_test.cpp, which lists the mutations.
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/random.h"
#include "attend/kernels/sparsemax.h"
#include "support/guard.h"
#include "support/targets.h"

namespace attend::kernels {
namespace {

using test::Guarded;

template <class T>
void stays_inside(std::int64_t queries, std::int64_t keys, std::int64_t width,
                  std::int64_t value_width, bool causal, int offset) {
  constexpr std::int64_t kHeads = 4, kKeyHeads = 2, kGap = 3;  // between rows lies NaN
  const std::int64_t row = width + kGap, value_row = value_width + kGap;
  Guarded<T> query(kHeads * queries * row, offset), key(kKeyHeads * keys * row, offset),
      value(kKeyHeads * keys * value_row, offset);
  Guarded<T> output(kHeads * queries * value_width, offset),
      weights(kHeads * queries * keys, offset), grad_output(kHeads * queries * value_width, offset),
      grad_weights(kHeads * queries * keys, offset);
  Guarded<T> grad_query(kHeads * queries * width, offset),
      grad_key(kKeyHeads * keys * width, offset),
      grad_value(kKeyHeads * keys * value_width, offset);
  Random random(1, Purpose::kGenerate);
  const auto fill = [&](Guarded<T>& t, std::int64_t rows, std::int64_t stride, std::int64_t n) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t d = 0; d < n; ++d) t[r * stride + d] = static_cast<T>(random.normal());
  };
  fill(query, kHeads * queries, row, width), fill(key, kKeyHeads * keys, row, width);
  fill(value, kKeyHeads * keys, value_row, value_width);
  fill(grad_output, kHeads * queries, value_width, value_width),
      fill(grad_weights, kHeads * queries, keys, keys);
  SparsemaxForward<T> p;
  p.batch = 1, p.heads = kHeads, p.key_heads = kKeyHeads, p.queries = queries, p.keys = keys;
  p.width = width, p.value_width = value_width;
  p.query = query.data(), p.key = key.data(), p.value = value.data();
  p.query_strides = {0, queries * row, row}, p.key_strides = {0, keys * row, row};
  p.value_strides = {0, keys * value_row, value_row};
  p.visible.causal = causal;
  p.output = output.data(), p.weights = weights.data();
  Guarded<T> scratch(sparsemax_forward_workspace(p), offset);
  p.workspace = scratch.data();
  sparsemax_forward(p);
  SparsemaxBackward<T> q;
  q.forward = p, q.grad_output = grad_output.data(), q.grad_weights = grad_weights.data();
  q.grad_query = grad_query.data(), q.grad_key = grad_key.data(), q.grad_value = grad_value.data();
  Guarded<T> more(sparsemax_backward_workspace(p), offset);
  q.workspace = more.data();
  sparsemax_backward(q);
  for (const Guarded<T>* t : {&query, &key, &value, &output, &weights, &grad_output, &grad_weights,
                              &grad_query, &grad_key, &grad_value, &scratch, &more})
    EXPECT_TRUE(t->intact());
  for (const Guarded<T>* t : {&output, &weights, &grad_query, &grad_key, &grad_value})
    for (const T x : t->values()) ASSERT_TRUE(std::isfinite(x));
}

TEST(SparsemaxKernel, ReadsAndWritesItsArraysOnly) {
  test::for_each_target([] {
    for (const bool causal : {false, true})
      for (const int offset : {0, 1, 5}) {
        stays_inside<float>(1, 1, 1, 1, causal, offset);
        stays_inside<float>(33, 65, 17, 9, causal, offset);
        stays_inside<float>(7, 130, 64, 64, causal, offset);
        stays_inside<double>(31, 23, 9, 33, causal, offset);
      }
  });
}

}  // namespace
}  // namespace attend::kernels
