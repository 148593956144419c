// The attention kernel without torch, against its equations in plain loops: every way in which a bias broadcasts, what a query
// that sees nothing leaves alone, bfloat16 with its bound of rounding, and arrays between bands of NaN. tests/ops/sdpa_test.cpp has
// the op.
//
// Planted one at a time, and each seen to fail here: the bias' gradient: the scale not applied after it; one team's sum forgotten.
// A query that sees nothing not left out of the backward pass. Pairs of bfloat16: the last row of an odd number lost; the old sums
// not faded; the second of two weights lost; columns beyond the last written.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "attend/base/random.h"
#include "attend/kernels/sdpa.h"
#include "kernels/attention/dropout.h"
#include "kernels/attention/visible.h"
#include "kernels/sdpa/bfloat16_dot.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;

struct Case {
  const char* name;
  std::int64_t B, H, Hkv, Lq, Lk, D, Dv;
  bool causal = false;
  std::int64_t left = -1, right = -1;
  bool lengths = false, mask = false;
  double dropout = 0, scale = 0.4;
};

// More than one chunk of keys (128); a block of queries that is not full; each kind of visibility.
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 1, 1},
    {"plain", 2, 4, 2, 35, 140, 8, 5},
    {"few_heads", 1, 2, 1, 130, 200, 8, 8, true},
    {"many_heads", 5, 6, 3, 9, 17, 3, 4},
    {"blind_queries", 2, 2, 2, 70, 33, 7, 9, true},
    {"window", 1, 2, 2, 50, 66, 8, 8, false, 3, 2, false, false, 0, -0.7},
    {"mask", 2, 2, 1, 34, 67, 8, 8, false, -1, -1, false, true},
    {"everything", 3, 4, 2, 35, 69, 9, 7, true, 30, -1, true, true, 0.3, 0},
};

std::vector<double> random_values(std::int64_t n, std::uint64_t seed) {
  Random random(seed, Purpose::kGenerate);
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = 2 * random.uniform() - 1;
  return values;
}

/// Inputs of a case, and what the equations make of them in T: truth in double, and a measure of rounding in float.
template <class T>
struct Problem {
  Case c;
  std::vector<T> query, key, value, bias, cotangent;
  std::vector<std::int64_t> query_lengths, key_lengths;
  std::vector<char> seen;                                                // [B,H,Lq,Lk]
  std::vector<T> output, grad_query, grad_key, grad_value, grad_scores;  // the last [B,H,Lq,Lk]
  // Of bfloat16: how much its roundings can move each result, to first order. `weights`, of P and dS in sums, and of the output.
  struct Rounding {
    double weights = 0, output = 0;
  } rounding;
  std::vector<double> output_bound, query_bound, key_bound, value_bound, scores_bound;

  explicit Problem(const Case& given, bool bfloat16 = false) : c(given) {
    const auto fill = [&](std::vector<T>& to, std::int64_t n, std::uint64_t seed) {
      for (const double v : random_values(n, seed)) {
        const auto single = static_cast<float>(v);
        to.push_back(static_cast<T>(bfloat16 ? widen(narrow(single)) : single));
      }
    };
    fill(query, c.B * c.H * c.Lq * c.D, 1), fill(key, c.B * c.Hkv * c.Lk * c.D, 2);
    fill(value, c.B * c.Hkv * c.Lk * c.Dv, 3), fill(bias, c.B * c.H * c.Lq * c.Lk, 4);
    fill(cotangent, c.B * c.H * c.Lq * c.Dv, 5);
    for (std::int64_t b = 0; b < c.B; ++b) {
      query_lengths.push_back((b + 1) * c.Lq / c.B),
          key_lengths.push_back((c.B - 1 - b) * c.Lk / c.B);
    }
    const auto dense = random_values(c.B * c.Lq * c.Lk, 6);
    for (std::int64_t b = 0; b < c.B; ++b)
      for (std::int64_t h = 0; h < c.H; ++h)
        for (std::int64_t i = 0; i < c.Lq; ++i) {
          const KeyRange range = visible_keys(facts(), b, i, c.Lq, c.Lk);
          for (std::int64_t j = 0; j < c.Lk; ++j)
            seen.push_back(j >= range.begin && j < range.end && (!c.mask || dense_mask(b, i, j)));
        }
  }

  Visibility facts() const {
    Visibility v;
    v.causal = c.causal, v.window_left = c.left, v.window_right = c.right;
    if (c.lengths) v.query_lengths = query_lengths.data(), v.key_lengths = key_lengths.data();
    return v;
  }
  /// A query in five sees nothing, nor is every fifth key seen.
  bool dense_mask(std::int64_t b, std::int64_t i, std::int64_t j) const {
    return i % 5 != 2 && j % 5 != 3 && (b + i * 7 + j * 3) % 4 != 0;
  }

  /// out_i, and the gradients for the cotangent, with the bias taken at `strides`. Nothing of a hidden pair is read.
  void solve(const ScoreStrides& st, bool with_bias) {
    output.assign(query.size() / c.D * c.Dv, 0), grad_query.assign(query.size(), 0);
    grad_key.assign(key.size(), 0), grad_value.assign(value.size(), 0);
    grad_scores.assign(seen.size(), 0);
    output_bound.assign(output.size(), 0), query_bound.assign(query.size(), 0);
    key_bound.assign(key.size(), 0), value_bound.assign(value.size(), 0);
    scores_bound.assign(seen.size(), 0);
    for (std::int64_t b = 0; b < c.B; ++b)
      for (std::int64_t h = 0; h < c.H; ++h)
        for (std::int64_t i = 0; i < c.Lq; ++i)
          row(b, h, i, with_bias ? bias.data() + b * st.batch + h * st.head + i * st.row : nullptr,
              st.column);
  }

  void row(std::int64_t b, std::int64_t h, std::int64_t i, const T* added, std::int64_t column) {
    const std::int64_t at = (b * c.H + h) * c.Lq + i, kv = b * c.Hkv + h / (c.H / c.Hkv);
    const T scale = static_cast<T>(c.scale);
    const T *q = &query[at * c.D], *dout = &cotangent[at * c.Dv];
    const AttentionDropout dropout(7, c.dropout);
    std::vector<T> p(c.Lk, T{0}), z(c.Lk, T{1});
    T largest = -std::numeric_limits<T>::infinity(), total = 0, delta = 0;
    for (std::int64_t j = 0; j < c.Lk; ++j) {
      if (!seen[at * c.Lk + j]) continue;
      for (std::int64_t d = 0; d < c.D; ++d) p[j] += q[d] * key[(kv * c.Lk + j) * c.D + d];
      p[j] = scale * p[j] + (added ? added[j * column] : T{0});
      largest = std::max(largest, p[j]);
      if (c.dropout > 0)
        z[j] = dropout.keeps(static_cast<std::uint32_t>(b * c.H + h), static_cast<std::uint32_t>(i),
                             static_cast<std::uint32_t>(j))
                   ? static_cast<T>(dropout.factor())
                   : T{0};
    }
    for (std::int64_t j = 0; j < c.Lk; ++j)
      if (seen[at * c.Lk + j]) total += p[j] = std::exp(p[j] - largest);
    const auto values = [&](std::int64_t j) { return (kv * c.Lk + j) * c.Dv; };
    for (std::int64_t j = 0; j < c.Lk; ++j) {
      if (!seen[at * c.Lk + j]) continue;
      p[j] /= total;
      for (std::int64_t d = 0; d < c.Dv; ++d) {
        output[at * c.Dv + d] += z[j] * p[j] * value[values(j) + d];
        grad_value[values(j) + d] += z[j] * p[j] * dout[d];
        output_bound[at * c.Dv + d] +=
            rounding.weights * std::abs(z[j] * p[j] * value[values(j) + d]);
        value_bound[values(j) + d] += rounding.weights * std::abs(z[j] * p[j] * dout[d]);
      }
    }
    if (total == 0) return;
    double delta_bound = 0;
    for (std::int64_t d = 0; d < c.Dv; ++d) {
      delta += dout[d] * output[at * c.Dv + d];
      output_bound[at * c.Dv + d] += rounding.output * std::abs(output[at * c.Dv + d]);
      delta_bound += std::abs(dout[d]) * output_bound[at * c.Dv + d];
    }
    for (std::int64_t j = 0; j < c.Lk; ++j) {
      if (!seen[at * c.Lk + j]) continue;
      T dp = 0;
      for (std::int64_t d = 0; d < c.Dv; ++d) dp += dout[d] * value[values(j) + d];
      const T ds = p[j] * (z[j] * dp - delta);
      grad_scores[at * c.Lk + j] = ds;
      scores_bound[at * c.Lk + j] = p[j] * delta_bound + rounding.weights * std::abs(ds);
      const double bound = std::abs(scale) * scores_bound[at * c.Lk + j];
      for (std::int64_t d = 0; d < c.D; ++d) {
        grad_query[at * c.D + d] += scale * ds * key[(kv * c.Lk + j) * c.D + d];
        grad_key[(kv * c.Lk + j) * c.D + d] += scale * ds * q[d];
        query_bound[at * c.D + d] += bound * std::abs(key[(kv * c.Lk + j) * c.D + d]);
        key_bound[(kv * c.Lk + j) * c.D + d] += bound * std::abs(q[d]);
      }
    }
  }

  bool blind(std::int64_t row) const {
    for (std::int64_t j = 0; j < c.Lk; ++j)
      if (seen[row * c.Lk + j]) return false;
    return true;
  }
};

/// Strides of a contiguous bias that broadcasts over the dimensions whose bit of `broadcast` is set (1 batch, 2 head, 4 row, 8 key).
ScoreStrides bias_strides(const Case& c, int broadcast, std::int64_t& size) {
  std::int64_t strides[4];
  const std::int64_t sizes[4] = {c.B, c.H, c.Lq, c.Lk};
  size = 1;
  for (int d = 3; d >= 0; --d) {
    strides[d] = broadcast >> d & 1 ? 0 : size;
    if (strides[d]) size *= sizes[d];
  }
  return {strides[0], strides[1], strides[2], strides[3]};
}

template <class T>
struct Results {
  std::vector<T> output, grad_query, grad_key, grad_value, grad_bias;
  std::vector<T> grad_scores = {};  // of the loops: what grad_bias sums
};

/// Forward and backward with every array between bands of NaN; `broadcast` < 0: no bias.
template <class I, class T = Accumulator<I>>
Results<T> run(const Problem<T>& in, int broadcast, int offset = 0) {
  const Case& c = in.c;
  std::int64_t bias_size = 1;
  const ScoreStrides st = bias_strides(c, std::max(0, broadcast), bias_size);
  const auto copy = [&](const std::vector<T>& from) {
    Guarded<I> to(static_cast<std::int64_t>(from.size()), offset);
    for (std::size_t i = 0; i < from.size(); ++i) {
      if constexpr (std::is_same_v<I, T>)
        to[static_cast<std::int64_t>(i)] = from[i];
      else
        to[static_cast<std::int64_t>(i)] = narrow(from[i]);
    }
    return to;
  };
  const Guarded<I> query = copy(in.query), key = copy(in.key), value = copy(in.value),
                   cotangent = copy(in.cotangent), bias = copy(in.bias);
  std::vector<char> mask;
  for (std::int64_t b = 0; b < c.B; ++b)
    for (std::int64_t i = 0; i < c.Lq; ++i)
      for (std::int64_t j = 0; j < c.Lk; ++j) mask.push_back(in.dense_mask(b, i, j));
  const std::int64_t rows = c.B * c.H * c.Lq;
  Guarded<I> output(rows * c.Dv, offset);
  Guarded<T> largest(rows, offset), inverse(rows, offset);
  SdpaForward<I> f;
  f.batch = c.B, f.heads = c.H, f.key_heads = c.Hkv, f.queries = c.Lq, f.keys = c.Lk, f.width = c.D,
  f.value_width = c.Dv;
  const auto strides = [](std::int64_t heads, std::int64_t length, std::int64_t width) {
    return RowStrides{heads * length * width, length * width, width};
  };
  f.query = query.data(), f.query_strides = strides(c.H, c.Lq, c.D);
  f.key = key.data(), f.key_strides = strides(c.Hkv, c.Lk, c.D);
  f.value = value.data(), f.value_strides = strides(c.Hkv, c.Lk, c.Dv);
  f.output = output.data(), f.output_strides = strides(c.H, c.Lq, c.Dv);
  f.visible = in.facts(), f.scale = static_cast<T>(c.scale), f.dropout = c.dropout, f.seed = 7;
  if (c.mask)
    f.visible.mask = reinterpret_cast<const bool*>(mask.data()),
    f.visible.mask_strides = {c.Lq * c.Lk, 0, c.Lk, 1};
  if (broadcast >= 0) f.bias = bias.data(), f.bias_strides = st;
  f.largest = largest.data(), f.inverse = inverse.data();
  Guarded<T> scratch(sdpa_forward_workspace(f));
  f.workspace = scratch.data();
  sdpa_forward(f);

  Guarded<T> grad_query(rows * c.D, offset), grad_key(key.size(), offset),
      grad_value(value.size(), offset), grad_bias(bias_size, offset);
  SdpaBackward<I> g;
  g.forward = f, g.grad_output = cotangent.data(), g.grad_output_strides = f.output_strides;
  g.grad_query = grad_query.data(), g.grad_key = grad_key.data(), g.grad_value = grad_value.data();
  if (broadcast >= 0) g.grad_bias = grad_bias.data(), g.grad_bias_strides = st;
  Guarded<T> more(sdpa_backward_workspace(g));
  g.workspace = more.data();
  sdpa_backward(g);
  for (const Guarded<T>* t :
       {&largest, &inverse, &scratch, &grad_query, &grad_key, &grad_value, &grad_bias, &more})
    EXPECT_TRUE(t->intact());
  EXPECT_TRUE(output.intact());
  std::vector<T> wide_output;
  for (const I x : output.values()) wide_output.push_back(widen(x));
  return {wide_output, grad_query.values(), grad_key.values(), grad_value.values(),
          broadcast >= 0 ? grad_bias.values() : std::vector<T>()};
}

/// What the equations give in T, with the gradient of the scores summed to the bias' size.
template <class T>
Results<T> solved(Problem<T> in, int broadcast) {
  std::int64_t size = 1;
  const Case& c = in.c;
  const ScoreStrides st = bias_strides(c, std::max(0, broadcast), size);
  in.solve(st, broadcast >= 0);
  std::vector<T> grad_bias(broadcast >= 0 ? static_cast<std::size_t>(size) : 0, T{0});
  for (std::size_t at = 0; broadcast >= 0 && at < in.grad_scores.size(); ++at) {
    const std::int64_t j = static_cast<std::int64_t>(at) % c.Lk,
                       row = static_cast<std::int64_t>(at) / c.Lk;
    grad_bias[row / c.Lq / c.H * st.batch + row / c.Lq % c.H * st.head + row % c.Lq * st.row +
              j * st.column] += in.grad_scores[at];
  }
  return {in.output, in.grad_query, in.grad_key, in.grad_value, grad_bias, in.grad_scores};
}

template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return std::sqrt(sum);
}

double norm(const std::vector<double>& a) {
  return distance(a, std::vector<double>(a.size(), 0.0));
}

/// Our error at most twice that of the same loops in float, plus 4 eps; in double, where the truth rounds as well, three times
/// theirs in units of eps.
template <class T>
void expect_close(const Results<T>& ours, const Results<float>& loops,
                  const Results<double>& truth) {
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double times =
      sizeof(T) == 8 ? 3 * eps / static_cast<double>(std::numeric_limits<float>::epsilon()) : 2;
  const auto check = [&](const char* name, const auto& found, double theirs,
                         const std::vector<double>& want, double size) {
    ASSERT_EQ(found.size(), want.size()) << name;
    EXPECT_LE(distance(found, want), times * theirs + 4 * eps * size) << name;  // NaN fails
  };
  const auto plain = [&](const char* name, const auto& found, const auto& floats,
                         const std::vector<double>& want) {
    check(name, found, distance(floats, want), want, norm(want));
  };
  plain("output", ours.output, loops.output, truth.output);
  plain("grad_query", ours.grad_query, loops.grad_query, truth.grad_query);
  plain("grad_key", ours.grad_key, loops.grad_key, truth.grad_key);
  plain("grad_value", ours.grad_value, loops.grad_value, truth.grad_value);
  // Where many terms are summed to few numbers, or over all keys to 0, it is the terms that tell how much rounding there is.
  check("grad_bias", ours.grad_bias,
        std::max(distance(loops.grad_bias, truth.grad_bias),
                 distance(loops.grad_scores, truth.grad_scores)),
        truth.grad_bias, norm(truth.grad_scores));
}

template <class T>
void follows_the_equations(const Case& c, int broadcast, int offset = 0) {
  SCOPED_TRACE(c.name + std::string(", broadcast ") + std::to_string(broadcast));
  expect_close(run<T>(Problem<T>(c), broadcast, offset), solved(Problem<float>(c), broadcast),
               solved(Problem<double>(c), broadcast));
}

TEST(SdpaKernel, FollowsTheEquations) {
  for (const Case& c : kCases)
    for (int broadcast = -1; broadcast < 16; ++broadcast) {
      follows_the_equations<float>(c, broadcast);
      follows_the_equations<double>(c, broadcast);
    }
}

TEST(SdpaKernel, EveryTargetMisaligned) {
  test::for_each_target([] {
    for (const Case& c : kCases)
      for (const int broadcast : {-1, 0, 3, 7, 9}) {
        follows_the_equations<float>(c, broadcast, 1);
        follows_the_equations<double>(c, broadcast, 3);
      }
  });
}

TEST(SdpaKernel, TheSameBitsOnAnyNumberOfThreads) {
  for (const Case& c : kCases)
    for (int broadcast = -1; broadcast < 16; ++broadcast) {
      SCOPED_TRACE(c.name + std::string(", broadcast ") + std::to_string(broadcast));
      const Problem<float> in(c);
      std::vector<Results<float>> all;
      for (const int threads : {1, 2, 3, 7}) {
        const test::WithThreads with(threads);
        all.push_back(run<float>(in, broadcast));
        EXPECT_EQ(all[0].grad_query, all.back().grad_query) << threads;
        EXPECT_EQ(all[0].grad_key, all.back().grad_key) << threads;
        EXPECT_EQ(all[0].grad_value, all.back().grad_value) << threads;
        EXPECT_EQ(all[0].grad_bias, all.back().grad_bias) << threads;
      }
    }
}

/// What nobody sees is NaN in every input, the cotangent and the bias, and changes not a bit; its gradients are 0.
template <class I>
void hidden_is_not_touched() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* name : {"blind_queries", "mask", "everything"})
    for (const int broadcast : {-1, 0}) {
      SCOPED_TRACE(name + std::string(", broadcast ") + std::to_string(broadcast));
      const Case c = *std::find_if(kCases.begin(), kCases.end(),
                                   [&](const Case& x) { return x.name == std::string(name); });
      Problem<float> in(c, true);
      const auto clean = run<I>(in, broadcast);
      std::vector<char> key_seen(static_cast<std::size_t>(c.B * c.Hkv * c.Lk), 0);
      int blind = 0;
      for (std::int64_t row = 0; row < c.B * c.H * c.Lq; ++row) {
        const std::int64_t head = row / c.Lq, kv = head / c.H * c.Hkv + head % c.H / (c.H / c.Hkv);
        for (std::int64_t j = 0; j < c.Lk; ++j) {
          if (in.seen[row * c.Lk + j])
            key_seen[kv * c.Lk + j] = 1;
          else
            in.bias[row * c.Lk + j] = nan;
        }
        if (!in.blind(row)) continue;
        ++blind;
        std::fill_n(&in.query[row * c.D], c.D, nan),
            std::fill_n(&in.cotangent[row * c.Dv], c.Dv, nan);
      }
      EXPECT_GT(blind, 0);
      for (std::size_t j = 0; j < key_seen.size(); ++j)
        if (!key_seen[j])
          std::fill_n(&in.key[j * c.D], c.D, nan), std::fill_n(&in.value[j * c.Dv], c.Dv, nan);
      const auto dirty = run<I>(in, broadcast);
      EXPECT_EQ(clean.output, dirty.output);
      EXPECT_EQ(clean.grad_query, dirty.grad_query);
      EXPECT_EQ(clean.grad_key, dirty.grad_key);
      EXPECT_EQ(clean.grad_value, dirty.grad_value);
      EXPECT_EQ(clean.grad_bias, dirty.grad_bias);
      for (std::size_t at = 0; at < dirty.grad_bias.size(); ++at)
        ASSERT_TRUE(in.seen[at] || dirty.grad_bias[at] == 0) << at;
      for (std::int64_t row = 0; row < c.B * c.H * c.Lq; ++row)
        for (std::int64_t d = 0; in.blind(row) && d < c.D; ++d)
          ASSERT_EQ(dirty.grad_query[row * c.D + d], 0) << row;
    }
}

TEST(SdpaKernel, WhatIsHiddenIsNotTouched) {
  hidden_is_not_touched<float>();
  hidden_is_not_touched<BFloat16>();
}

/// Lets kernels multiply pairs of bfloat16, or not, for the life of the object.
struct AllowPairs {
  explicit AllowPairs(bool allow) { allow_bfloat16_dot(allow); }
  AllowPairs(const AllowPairs&) = delete;
  AllowPairs& operator=(const AllowPairs&) = delete;
  ~AllowPairs() { allow_bfloat16_dot(true); }
};

/// bfloat16 is right when no result is further from the equations, solved in double on the same rounded inputs, than its roundings
/// can move it. A rounding to nearest is off by at most 2⁻⁸ of the number (8 bits). The output is rounded once; where pairs are
/// multiplied so is each weight and each dS: |Σ_j δ_j w_j v_j| ≤ 2⁻⁸ Σ_j w_j |v_j|, and likewise for the gradients; delta = <dO, O>
/// has the output's error. What float adds, beside these, is allowed 2⁻¹⁶ of the same sums.
void expect_within_rounding(const Case& c, int broadcast) {
  const auto ours = run<BFloat16>(Problem<float>(c, true), broadcast);
  const bool pairs = has_bfloat16_dot() && last_simd_target() <= HWY_AVX3;
  SCOPED_TRACE(c.name + std::string(", broadcast ") + std::to_string(broadcast) +
               (pairs ? ", pairs" : ", float"));
  EXPECT_EQ(sdpa_used_bfloat16_dot(), pairs && c.D % 2 == 0 && c.Dv % 2 == 0);
  Problem<double> truth(c, true);
  truth.rounding = {(pairs ? 0x1p-8 : 0) + 0x1p-16, 0x1p-8 + 0x1p-16};
  std::int64_t size = 1;
  truth.solve(bias_strides(c, std::max(0, broadcast), size), broadcast >= 0);
  const auto check = [](const char* name, const std::vector<float>& found,
                        const std::vector<double>& want, const std::vector<double>& bound) {
    ASSERT_EQ(found.size(), want.size()) << name;
    for (std::size_t i = 0; i < found.size(); ++i)
      ASSERT_LE(std::abs(static_cast<double>(found[i]) - want[i]), bound[i] + 1e-30)
          << name << ' ' << i;
  };
  check("output", ours.output, truth.output, truth.output_bound);
  check("grad_query", ours.grad_query, truth.grad_query, truth.query_bound);
  check("grad_key", ours.grad_key, truth.grad_key, truth.key_bound);
  check("grad_value", ours.grad_value, truth.grad_value, truth.value_bound);
  if (broadcast == 0) check("grad_bias", ours.grad_bias, truth.grad_scores, truth.scores_bound);
}

std::vector<Case> bfloat16_cases() {
  std::vector<Case> cases =
      kCases;  // with odd widths, which are converted, and the same with even ones
  for (const Case& c : kCases) {
    cases.push_back(c);
    cases.back().D += c.D % 2, cases.back().Dv += c.Dv % 2;
  }
  cases.push_back({"wide", 1, 2, 1, 140, 150, 80, 72});
  cases.push_back({"long", 1, 1, 1, 515, 520, 16, 34});
  return cases;
}

TEST(SdpaKernel, Bfloat16StaysWithinItsRounding) {
  test::for_each_target([] {
    for (const bool allowed : {true, false}) {
      const AllowPairs allow(allowed);
      for (const Case& c : bfloat16_cases())
        for (const int broadcast : {-1, 0}) expect_within_rounding(c, broadcast);
    }
  });
}

TEST(SdpaKernel, Bfloat16TheSameBitsOnAnyNumberOfThreads) {
  for (const Case& c : bfloat16_cases())
    for (const int broadcast : {-1, 3}) {
      SCOPED_TRACE(c.name + std::string(", broadcast ") + std::to_string(broadcast));
      const Problem<float> in(c, true);
      std::vector<Results<float>> all;
      for (const int threads : {1, 2, 3}) {
        const test::WithThreads with(threads);
        all.push_back(run<BFloat16>(in, broadcast, threads));
        EXPECT_EQ(all[0].output, all.back().output) << threads;
        EXPECT_EQ(all[0].grad_query, all.back().grad_query) << threads;
        EXPECT_EQ(all[0].grad_key, all.back().grad_key) << threads;
        EXPECT_EQ(all[0].grad_value, all.back().grad_value) << threads;
        EXPECT_EQ(all[0].grad_bias, all.back().grad_bias) << threads;
      }
    }
}

TEST(SdpaKernel, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(narrow(1.0f).bits, 0x3f80);
  EXPECT_EQ(narrow(1.0f + 0x1p-8f).bits, 0x3f80);            // halfway: to even
  EXPECT_EQ(narrow(1.0f + 0x1p-7f + 0x1p-8f).bits, 0x3f82);  // halfway: to even
  EXPECT_EQ(narrow(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);
  EXPECT_EQ(narrow(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  EXPECT_EQ(narrow(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(widen(narrow(std::numeric_limits<float>::quiet_NaN()))));
  for (const float x : {0.0f, -2.5f, 1e-38f, 3e38f})
    EXPECT_EQ(widen(narrow(widen(narrow(x)))), widen(narrow(x)));
}

}  // namespace
}  // namespace attend::kernels
