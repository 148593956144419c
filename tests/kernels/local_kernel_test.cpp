// The local attention kernel without torch: every array between bands of NaN, misaligned, on every SIMD target. Its values are
// checked in tests/ops/local_op_test.cpp, which lists the mutations.
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/random.h"
#include "attend/kernels/local.h"
#include "support/guard.h"
#include "support/targets.h"

namespace attend::kernels {
namespace {

using test::Guarded;

template <class T>
void stays_inside(std::int64_t queries, std::int64_t keys, std::int64_t width, std::int64_t window,
                  bool additive, int offset) {
  const std::int64_t gap = 3, row = width + gap;  // between rows lies NaN
  Guarded<T> query(queries * row, offset), key(keys * row, offset), value(keys * row, offset),
      centre(queries, offset);
  Guarded<T> score_weight(width, offset), output(queries * width, offset),
      weights(queries * keys, offset);
  Guarded<T> grad_output(queries * width, offset), grad_query(queries * width, offset),
      grad_key(keys * width, offset);
  Guarded<T> grad_value(keys * width, offset), grad_centre(queries, offset),
      grad_score_weight(width, offset);
  Random random(1, Purpose::kGenerate);
  const auto fill = [&](Guarded<T>& t, std::int64_t rows, std::int64_t stride) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t d = 0; d < width; ++d) t[r * stride + d] = static_cast<T>(random.normal());
  };
  fill(query, queries, row), fill(key, keys, row), fill(value, keys, row),
      fill(score_weight, 1, width);
  fill(grad_output, queries, width);
  for (std::int64_t i = 0; i < queries; ++i)
    centre[i] = static_cast<T>(random.uniform() * 1.2 * static_cast<double>(keys));
  LocalForward<T> p;
  p.batch = 1, p.queries = queries, p.keys = keys, p.width = width, p.value_width = width,
  p.window = window;
  p.query = query.data(), p.key = key.data(), p.value = value.data(), p.centre = centre.data();
  p.query_row = p.key_row = p.value_row = row;
  p.score_weight = additive ? score_weight.data() : nullptr;
  p.sharpness = T(0.1);
  p.output = output.data(), p.weights = weights.data();
  Guarded<T> scratch(local_forward_workspace(p), offset);
  p.workspace = scratch.data();
  local_forward(p);
  LocalBackward<T> q;
  q.forward = p, q.grad_output = grad_output.data(), q.grad_query = grad_query.data(),
  q.grad_key = grad_key.data();
  q.grad_value = grad_value.data(), q.grad_centre = grad_centre.data(),
  q.grad_score_weight = grad_score_weight.data();
  Guarded<T> more(local_backward_workspace(p), offset);
  q.workspace = more.data();
  Guarded<std::int64_t> places(local_backward_places(p), offset, -1);
  q.places = places.data();
  local_backward(q);
  for (const Guarded<T>* t :
       {&query, &key, &value, &centre, &score_weight, &output, &weights, &grad_output, &grad_query,
        &grad_key, &grad_value, &grad_centre, &grad_score_weight, &scratch, &more})
    EXPECT_TRUE(t->intact());
  EXPECT_TRUE(places.intact());
  for (const Guarded<T>* t : {&output, &weights, &grad_query, &grad_key, &grad_value, &grad_centre})
    for (const T x : t->values()) ASSERT_TRUE(std::isfinite(x));
  if (additive) {
    for (const T x : grad_score_weight.values()) ASSERT_TRUE(std::isfinite(x));
  }
}

TEST(LocalKernel, ReadsAndWritesItsArraysOnly) {
  test::for_each_target([] {
    for (const bool additive : {false, true})
      for (const int offset : {0, 1, 5}) {
        stays_inside<float>(1, 1, 1, 1, additive, offset);
        stays_inside<float>(33, 65, 17, 7, additive, offset);
        stays_inside<float>(40, 130, 64, 3, additive, offset);
        stays_inside<double>(31, 63, 9, 100, additive, offset);
        stays_inside<double>(5, 200, 33, 16, additive, offset);
      }
  });
}

}  // namespace
}  // namespace attend::kernels
