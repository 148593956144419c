// The additive kernel without torch: against the equations in long double, on every SIMD target, inside NaN bands.
//
// Planted in the kernel one at a time, and each seen to fail here. Rows: those beyond the range of the exponentials not marked;
// far queries not looked at; exponentials made for the keys of the first query alone. Groups of queries in backward: later ones
// set the keys' gradient, or the values'; score gradients, or weights, of the group before left; gradients of keys that nobody
// sees not cleared. Far pairs: counted by the tiles too; set over by the tiles. Tiles: sums of the weight set by each; Newton's
// step left out. Softmax beyond the last visible key; a weight that is NaN taken for 0, or a score that is NaN for a hidden one;
// the last query of a part forgotten; kept exponentials in the rows of another sentence.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/additive.h"
#include "kernels/attention/dropout.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using Real = long double;

struct Case {
  const char* name;
  std::int64_t B, Lq, Lk, A, Dv;
  int offset = 0;  // elements after a 64-byte boundary
  bool causal = false, align_last = true;
  std::int64_t left = -1, right = -1;
  bool lengths = false, mask = false, bias = false, kept = true, grad_weights = true;
  double dropout = 0,
         size = 1;  // size of queries and keys: beyond 43 their exponentials leave float
};

// All sizes 1; one off vectors of 4, 8, 16, the 32 of a prepared row, tiles of 4 and 2 queries and keys; more queries than
// backward takes together.
const Case kCases[] = {
    {"ones", 1, 1, 1, 1, 1},
    {"step", 3, 1, 30, 64, 33, 1},
    {"tile", 2, 4, 4, 32, 64},
    {"below_tile", 2, 3, 7, 31, 15, 3},
    {"above_tile", 2, 7, 5, 33, 17, 1},
    {"wide_value", 1, 6, 9, 5, 150, 1},
    {"made_again", 2, 5, 11, 16, 8, 0, false, true, -1, -1, false, false, true, false},
    {"output_alone", 2, 5, 11, 16, 8, 1, false, true, -1, -1, true, false, false, true, false},
    {"causal", 2, 9, 9, 20, 6, 0, true},
    {"causal_first", 2, 5, 9, 20, 6, 0, true, false},
    {"more_queries", 1, 9, 4, 20, 6, 0, true},
    {"window", 2, 12, 14, 8, 8, 0, false, true, 2, 1},
    {"groups", 2, 70, 37, 20, 6, 1, true},
    {"groups_window", 1, 80, 80, 8, 8, 0, false, true, 2, 1},
    {"groups_mask", 2, 41, 19, 18, 7, 1, false, true, -1, -1, true, true, true, false, true, 0.3},
    {"lengths", 5, 9, 13, 18, 7, 1, false, true, -1, -1, true},
    {"mask", 3, 7, 19, 18, 7, 1, false, true, -1, -1, false, true},
    {"everything", 4, 10, 13, 35, 9, 1, true, true, 6, -1, true, true, true, true, true, 0.3},
    {"everything_again", 4, 10, 13, 35, 9, 1, true, true, 6, -1, true, true, true, false, true,
     0.3},
    {"large", 2, 6, 9, 40, 5, 0, false, true, -1, -1, false, false, false, true, true, 0, 60},
    {"large_groups", 2, 40, 9, 24, 5, 1, true, true, -1, -1, true, true, false, true, true, 0, 60},
    {"large_step", 2, 1, 9, 40, 5, 1, false, true, -1, -1, true, false, false, true, true, 0, 60},
    {"larger_than_double", 2, 6, 9, 40, 5, 0, false, true, -1, -1, false, true, false, true, true,
     0, 500},
};

/// Every array of one call in guarded memory, rows of the inputs apart with NaN between, NaN in all that is hidden.
template <class T>
struct Problem {
  explicit Problem(const Case& sizes)
      : c(sizes),
        query(c.B * c.Lq * (c.A + 3), c.offset),
        key(c.B * c.Lk * (c.A + 3), c.offset),
        value(c.B * c.Lk * (c.Dv + 1), c.offset),
        weight(c.A, c.offset),
        bias(c.B * c.Lq * c.Lk, c.offset),
        prepared(c.B * c.Lk * additive_padded<T>(c.A)),
        output(c.B * c.Lq * c.Dv, c.offset),
        weights(c.B * c.Lq * c.Lk, c.offset),
        grad_output(c.B * c.Lq * (c.Dv + 2), c.offset),
        grad_weights(c.B * c.Lq * c.Lk, c.offset),
        grad_query(c.B * c.Lq * c.A, c.offset),
        grad_key(c.B * c.Lk * c.A, c.offset),
        grad_value(c.B * c.Lk * c.Dv, c.offset),
        grad_weight(c.A, c.offset),
        grad_bias(c.B * c.Lq * c.Lk, c.offset) {
    for (std::int64_t b = 0; b < c.B; ++b) {  // full, nothing, in between
      const auto some = [&](std::int64_t full) {
        return b % 3 == 0 ? full : b % 3 == 1 ? 0 : 1 + b * 7 % full;
      };
      query_lengths.push_back(c.lengths && b == 3 ? 0 : c.Lq - (c.lengths && b == 2 && c.Lq > 1));
      key_lengths.push_back(c.lengths ? some(c.Lk) : c.Lk);
    }
    for (std::int64_t i = 0; i < c.B * c.Lq * c.Lk; ++i)
      mask.push_back(random.uniform() < 0.7 && i / c.Lk % c.Lq != 1 &&
                     i % c.Lk != 4);  // query 1, key 4 see, are seen by none
    fill();
    connect();
  }

  bool sees(std::int64_t b, std::int64_t i, std::int64_t j) const {
    const std::int64_t nq = query_lengths[b], nk = key_lengths[b],
                       place = c.align_last ? i + nk - nq : i;
    if (i >= nq || j >= nk || (c.causal && j > place)) return false;
    if (c.left >= 0 && j < place - c.left) return false;
    if (c.right >= 0 && j > place + c.right) return false;
    return !c.mask || mask[(b * c.Lq + i) * c.Lk + j];
  }
  T q(std::int64_t b, std::int64_t i, std::int64_t a) const {
    return query[(b * c.Lq + i) * (c.A + 3) + a];
  }
  T k(std::int64_t b, std::int64_t j, std::int64_t a) const {
    return key[(b * c.Lk + j) * (c.A + 3) + a];
  }
  T v(std::int64_t b, std::int64_t j, std::int64_t d) const {
    return value[(b * c.Lk + j) * (c.Dv + 1) + d];
  }
  T g(std::int64_t b, std::int64_t i, std::int64_t d) const {
    return grad_output[(b * c.Lq + i) * (c.Dv + 2) + d];
  }

  /// Keys prepared before, on the way and kept for backward, or on the way both times.
  enum class Keys { kPrepared, kKept, kNeither };
  void run(Keys keys = Keys::kPrepared) {
    if (keys == Keys::kPrepared) additive_prepare(prepare);
    p.prepared = keys == Keys::kPrepared ? prepared.data() : nullptr;
    p.kept = keys == Keys::kKept ? prepared.data() : nullptr;
    workspace.assign(additive_forward_workspace(p) + 16, std::numeric_limits<T>::quiet_NaN());
    p.workspace = aligned();
    additive_forward(p);
    backward.forward = p;
    if (keys == Keys::kKept) backward.forward.prepared = p.kept;
    backward.forward.kept = nullptr;
    if (!c.kept) backward.forward.weights = nullptr;
    workspace.assign(additive_backward_workspace(backward) + 16,
                     std::numeric_limits<T>::quiet_NaN());
    backward.workspace = aligned();
    additive_backward(backward);
  }

  std::vector<const test::Guarded<T>*> results() const {
    return {&output, &weights, &grad_query, &grad_key, &grad_value, &grad_weight, &grad_bias};
  }
  bool intact() const {
    for (const auto* r : results())
      if (!r->intact()) return false;
    return query.intact() && key.intact() && value.intact() && weight.intact() && prepared.intact();
  }

  const Case c;
  Random random{3, Purpose::kGenerate};
  test::Guarded<T> query, key, value, weight, bias, prepared, output, weights, grad_output,
      grad_weights, grad_query, grad_key, grad_value, grad_weight, grad_bias;
  std::vector<std::int64_t> query_lengths, key_lengths;
  std::vector<char> mask;
  std::vector<T> workspace;
  AdditivePrepare<T> prepare;
  AdditiveForward<T> p;
  AdditiveBackward<T> backward;

 private:
  T* aligned() {
    const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
    return workspace.data() + (64 - address % 64) % 64 / sizeof(T);
  }
  T draw(double scale = 1) { return static_cast<T>(scale * random.normal()); }

  void fill() {
    for (std::int64_t b = 0; b < c.B; ++b) {
      std::vector<bool> query_sees(c.Lq), seen(c.Lk);
      for (std::int64_t i = 0; i < c.Lq; ++i)
        for (std::int64_t j = 0; j < c.Lk; ++j)
          if (sees(b, i, j)) query_sees[i] = seen[j] = true;
      for (std::int64_t i = 0; i < c.Lq; ++i) {
        if (!query_sees[i]) continue;
        // One row far and the next near: with size 60, e^{2q} and e^{2k} overflow while q + k is small.
        for (std::int64_t a = 0; a < c.A; ++a)
          query[(b * c.Lq + i) * (c.A + 3) + a] =
              static_cast<T>((i % 2 ? 1 : c.size) + random.normal());
        for (std::int64_t d = 0; d < c.Dv; ++d)
          grad_output[(b * c.Lq + i) * (c.Dv + 2) + d] = draw();
      }
      for (std::int64_t j = 0; j < c.Lk; ++j) {
        if (!seen[j]) continue;
        for (std::int64_t a = 0; a < c.A; ++a)
          key[(b * c.Lk + j) * (c.A + 3) + a] =
              static_cast<T>(-(j % 3 ? 1 : c.size) + random.normal());
        for (std::int64_t d = 0; d < c.Dv; ++d) value[(b * c.Lk + j) * (c.Dv + 1) + d] = draw();
      }
    }
    for (std::int64_t a = 0; a < c.A; ++a)
      weight[a] = draw(1 / std::sqrt(static_cast<double>(c.A)));
    for (std::int64_t i = 0; i < bias.size(); ++i) bias[i] = draw(), grad_weights[i] = draw();
  }

  void connect() {
    prepare.batch = c.B, prepare.keys = c.Lk, prepare.width = c.A;
    prepare.key = key.data(), prepare.key_strides = {c.Lk * (c.A + 3), 0, c.A + 3},
    prepare.prepared = prepared.data();
    p.batch = c.B, p.queries = c.Lq, p.keys = c.Lk, p.width = c.A, p.value_width = c.Dv;
    p.query = query.data(), p.query_strides = {c.Lq * (c.A + 3), 0, c.A + 3};
    p.key = key.data(), p.key_strides = prepare.key_strides;
    p.value = value.data(), p.value_strides = {c.Lk * (c.Dv + 1), 0, c.Dv + 1};
    p.score_weight = weight.data(), p.scale = T(0.75), p.dropout = c.dropout, p.seed = 99;
    p.output = output.data(), p.weights = weights.data();
    if (c.bias) p.bias = bias.data(), p.bias_strides = {c.Lq * c.Lk, 0, c.Lk, 1};
    p.visible.query_lengths = query_lengths.data(), p.visible.key_lengths = key_lengths.data();
    p.visible.causal = c.causal, p.visible.align_last = c.align_last;
    p.visible.window_left = c.left, p.visible.window_right = c.right;
    if (c.mask) {
      p.visible.mask = reinterpret_cast<const bool*>(mask.data());
      p.visible.mask_strides = {c.Lq * c.Lk, 0, c.Lk, 1};
    }
    backward.grad_output = grad_output.data(),
    backward.grad_output_strides = {c.Lq * (c.Dv + 2), 0, c.Dv + 2};
    backward.grad_weights = c.grad_weights ? grad_weights.data() : nullptr;
    backward.grad_query = grad_query.data(), backward.grad_key = grad_key.data();
    backward.grad_value = grad_value.data(), backward.grad_score_weight = grad_weight.data();
    backward.grad_bias = grad_bias.data();
  }
};

struct Truth {
  std::vector<Real> of[7];  // in the order of Problem::results
};

/// The equations of attend/kernels/additive.h with tanh as it stands, one query after the other.
template <class T>
Truth by_the_equations(const Problem<T>& q) {
  const Case& c = q.c;
  Truth r;
  const auto sizes = q.results();
  for (int n = 0; n < 7; ++n) r.of[n].assign(sizes[n]->size(), 0);
  auto& [output, weights, grad_query, grad_key, grad_value, grad_weight, grad_bias] = r.of;
  const AttentionDropout dropout(q.p.seed, c.dropout);
  for (std::int64_t b = 0; b < c.B; ++b)
    for (std::int64_t i = 0; i < c.Lq; ++i) {
      const std::int64_t row = b * c.Lq + i;
      std::vector<Real> s(c.Lk), P(c.Lk), z(c.Lk);
      std::vector<std::int64_t> js;
      for (std::int64_t j = 0; j < c.Lk; ++j)
        if (q.sees(b, i, j)) js.push_back(j);
      Real largest = -INFINITY, total = 0, mean = 0;
      for (const auto j : js) {
        for (std::int64_t a = 0; a < c.A; ++a)
          s[j] += Real(q.weight[a]) * std::tanh(Real(q.q(b, i, a)) + q.k(b, j, a));
        s[j] = Real(q.p.scale) * s[j] + (c.bias ? Real(q.bias[row * c.Lk + j]) : Real(0));
        largest = std::max(largest, s[j]);
      }
      for (const auto j : js) total += std::exp(s[j] - largest);
      for (const auto j : js) {
        const Real w = weights[row * c.Lk + j] = std::exp(s[j] - largest) / total;
        z[j] = c.dropout == 0 ? Real(1) : dropout.keeps(b, i, j) ? Real(dropout.factor()) : Real(0);
        P[j] = c.grad_weights ? Real(q.grad_weights[row * c.Lk + j]) : Real(0);
        for (std::int64_t d = 0; d < c.Dv; ++d) {
          output[row * c.Dv + d] += w * z[j] * q.v(b, j, d);
          P[j] += z[j] * q.g(b, i, d) * q.v(b, j, d);
          grad_value[(b * c.Lk + j) * c.Dv + d] += w * z[j] * q.g(b, i, d);
        }
        mean += w * P[j];
      }
      for (const auto j : js) {
        const Real ds = grad_bias[row * c.Lk + j] = weights[row * c.Lk + j] * (P[j] - mean);
        for (std::int64_t a = 0; a < c.A; ++a) {
          const Real t = std::tanh(Real(q.q(b, i, a)) + q.k(b, j, a)),
                     x = ds * q.p.scale * q.weight[a] * (1 - t * t);
          grad_query[row * c.A + a] += x;
          grad_key[(b * c.Lk + j) * c.A + a] += x;
          grad_weight[a] += ds * q.p.scale * t;
        }
      }
    }
  return r;
}

template <class T>
void expect_close(const char* what, const test::Guarded<T>& ours, const std::vector<Real>& truth,
                  double limit) {
  Real off = 0, norm = 0;
  for (std::int64_t i = 0; i < ours.size(); ++i) {
    off += (ours[i] - truth[i]) * (ours[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  EXPECT_LE(std::sqrt(off), limit * std::sqrt(norm) + std::numeric_limits<T>::epsilon() * 1e-3)
      << what;
}

template <class T>
void check_all_cases() {
  constexpr double kEps = std::numeric_limits<T>::epsilon();
  static const char* const kNames[] = {"output",     "weights",           "grad_query", "grad_key",
                                       "grad_value", "grad_score_weight", "grad_bias"};
  test::for_each_target([&] {
    for (const Case& c : kCases) {
      SCOPED_TRACE(c.name);
      Problem<T> q(c);
      const Truth truth = by_the_equations(q);
      q.run();
      for (int n = 0; n < 7; ++n)
        expect_close(kNames[n], *q.results()[n], truth.of[n], (n < 2 ? 8 : 24) * kEps);
      EXPECT_TRUE(q.intact()) << "wrote outside an array";
    }
  });
}

TEST(AdditiveKernel, FloatFollowsTheEquationsOnEveryTarget) { check_all_cases<float>(); }
TEST(AdditiveKernel, DoubleFollowsTheEquationsOnEveryTarget) { check_all_cases<double>(); }

TEST(AdditiveKernel, TheSameBitsOnAnyNumberOfThreadsWithKeysPreparedOrNot) {
  // Many rows, which the threads share; few, whose queries are shared.
  for (const Case& c :
       {Case{"rows", 13, 10, 13, 70, 40, 1, true, true, 6, -1, true, true, true, true, true, 0.3},
        Case{"parts", 1, 75, 13, 70, 40, 1, true, true, 40, -1, false, true},
        Case{"uneven parts", 3, 50, 33, 70, 40}}) {
    SCOPED_TRACE(c.name);
    std::vector<std::vector<float>> first;
    for (const int n : {1, 2, 3, 2})
      for (const auto keys : {Problem<float>::Keys::kPrepared, Problem<float>::Keys::kKept,
                              Problem<float>::Keys::kNeither}) {
        const test::WithThreads with(n);
        Problem<float> q(c);
        q.run(keys);
        std::vector<std::vector<float>> now;
        for (const auto* r : q.results()) now.push_back(r->values());
        if (first.empty()) first = now;
        EXPECT_EQ(now, first) << n << " threads, keys " << static_cast<int>(keys);
        EXPECT_TRUE(q.intact());
      }
  }
}

TEST(AdditiveKernel, WithoutTheValuesGradientTheOthersKeepTheirBits) {
  for (const Case& c :
       {Case{"steps", 3, 1, 13, 70, 40}, Case{"groups", 2, 37, 13, 20, 9, 1, true}}) {
    SCOPED_TRACE(c.name);
    Problem<float> all(c), some(c);
    some.backward.grad_value = nullptr;
    const std::vector<float> untouched = some.grad_value.values();
    all.run();
    some.run();
    EXPECT_EQ(std::memcmp(some.grad_value.values().data(), untouched.data(),
                          untouched.size() * sizeof(float)),
              0);
    for (std::size_t n = 0; n < all.results().size(); ++n) {
      if (all.results()[n] == &all.grad_value) continue;
      EXPECT_EQ(some.results()[n]->values(), all.results()[n]->values()) << n;
    }
    EXPECT_TRUE(some.intact());
  }
}

TEST(AdditiveKernel, AKeyThatIsNoNumberHarmsOnlyTheQueriesThatSeeIt) {
  // The last query sees all keys, or the spoiled one alone.
  for (const Case& c :
       {Case{"causal", 1, 8, 8, 20, 6, 0, true}, Case{"its own", 1, 8, 8, 20, 6, 0, true, true, 0}})
    test::for_each_target([&] {
      SCOPED_TRACE(c.name);
      Problem<float> clean(c), spoiled(c);
      spoiled.key[7 * (c.A + 3)] =
          std::numeric_limits<float>::quiet_NaN();  // query 7 alone sees it
      clean.run();
      spoiled.run();
      for (std::int64_t i = 0; i < 7 * c.A; ++i)
        EXPECT_NEAR(spoiled.grad_query[i], clean.grad_query[i], 1e-5) << i;
      for (std::int64_t i = 0; i < 7 * c.Dv; ++i)
        EXPECT_NEAR(spoiled.output[i], clean.output[i], 1e-5) << i;
      EXPECT_TRUE(std::isnan(spoiled.grad_query[7 * c.A]));
      EXPECT_TRUE(std::isnan(spoiled.output[7 * c.Dv]));
    });
}

TEST(AdditiveKernel, PreparedRowsAreExponentialsAndSayWhenTheyAreNot) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> heads = {1.0f, 43.0f, -43.0f, 43.01f, -43.01f, nan};
  std::vector<float> key, prepared(heads.size() * 32, nan);
  for (const float x : heads) key.insert(key.end(), {0.5f, x, 0.25f});
  AdditivePrepare<float> p;
  p.batch = 1, p.keys = static_cast<std::int64_t>(heads.size()), p.width = 3;
  p.key = key.data(), p.key_strides = {0, 0, 3}, p.prepared = prepared.data();
  test::for_each_target([&] {
    additive_prepare(p);
    for (std::size_t j = 0; j < heads.size(); ++j) {
      const float* row = prepared.data() + j * 32;
      EXPECT_EQ(row[0] < 0, j >= 3) << heads[j];
      if (j < 3) {
        EXPECT_NEAR(row[0], std::exp(1.0), 1e-6);
      }
      EXPECT_NEAR(row[2], std::exp(0.5), 1e-6);
      for (int a = 3; a < 32; ++a) EXPECT_EQ(row[a], 0);
    }
  });
}

TEST(AdditiveKernel, NothingToDo) {
  for (const Case& c : {Case{"no batch", 0, 2, 3, 4, 5}, Case{"no query", 2, 0, 3, 4, 5},
                        Case{"no key", 2, 3, 0, 4, 5}, Case{"no width", 2, 3, 4, 0, 5},
                        Case{"no value", 2, 3, 4, 5, 0}}) {
    SCOPED_TRACE(c.name);
    Problem<double> q(c);
    const Truth truth = by_the_equations(q);
    q.run();
    for (int n = 0; n < 7; ++n) expect_close("result", *q.results()[n], truth.of[n], 1e-14);
    EXPECT_TRUE(q.intact());
  }
}

}  // namespace
}  // namespace attend::kernels
