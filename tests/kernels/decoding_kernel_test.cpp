// What a decoding step does besides its products, beside float64 loops: norms, attention of single queries over a tape and over a
// source, log-softmax, the best of a row. Every SIMD target, odd sizes, guard bands, threads, NaN.
// Faults planted and seen to fail here, one at a time: softmax without its maximum; keys of another source; the places of another
// row; weights summed over the heads; hidden places seen; the variance as a difference of squares; of equals the later; a NaN in the
// tail not told; values of the first head for all.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/decoding.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;
constexpr double kEps = std::numeric_limits<float>::epsilon();

Guarded<float> random_numbers(std::int64_t n, std::uint64_t seed, double scale = 1) {
  Guarded<float> out(n, 1);
  Random random(seed, Purpose::kGenerate);
  for (std::int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(scale * (2 * random.uniform() - 1));
  return out;
}

TEST(NormRows, IsTheFormulaOnEveryTarget) {
  test::for_each_target([] {
    for (const std::int64_t width : {1, 3, 8, 15, 16, 17, 33, 64, 130})
      for (const bool has_bias : {true, false}) {
        const std::int64_t rows = 3;
        Guarded<float> x = random_numbers(rows * width, 1), y(rows * width, 3);
        for (std::int64_t i = 0; i < rows * width; ++i) x[i] += 50;  // E[x²] − E[x]² would lose it
        const Guarded<float> weight = random_numbers(width, 2), bias = random_numbers(width, 3);
        norm_rows({rows, width, x.data(), weight.data(), has_bias ? bias.data() : nullptr, 1e-5f,
                   y.data()});
        EXPECT_TRUE(y.intact());
        for (std::int64_t r = 0; r < rows; ++r) {
          double mean = 0, square = 0;
          for (std::int64_t c = 0; c < width; ++c)
            mean += static_cast<double>(x[r * width + c]) / static_cast<double>(width);
          for (std::int64_t c = 0; c < width; ++c)
            square += std::pow(static_cast<double>(x[r * width + c]) - mean, 2) /
                      static_cast<double>(width);
          for (std::int64_t c = 0; c < width; ++c) {
            const double normed =
                (static_cast<double>(x[r * width + c]) - mean) / std::sqrt(square + 1e-5);
            const double wanted = normed * static_cast<double>(weight[c]) +
                                  (has_bias ? static_cast<double>(bias[c]) : 0);
            // the mean of numbers near 50 is off by some 50 eps, which the division by the deviation enlarges
            ASSERT_NEAR(static_cast<double>(y[r * width + c]), wanted,
                        8 * kEps * (1 + 50 / std::sqrt(square + 1e-5)));
          }
        }
        norm_rows({rows, width, x.data(), weight.data(), has_bias ? bias.data() : nullptr, 1e-5f,
                   x.data()});
        for (std::int64_t i = 0; i < rows * width; ++i) ASSERT_EQ(x[i], y[i]) << "in place";
      }
  });
}

/// R rows over a tape of T steps whose rows differ in number, or over the places of `sources` sources.
struct Attention {
  Attention(std::int64_t rows, std::int64_t heads, std::int64_t width, std::int64_t places,
            std::int64_t sources)
      : channels(heads * width),
        query(random_numbers(rows * (channels + 2), 7, 2)),
        out(rows * channels, 5),
        weights(rows * places, 1) {
    p.rows = rows, p.heads = heads, p.width = width, p.scale = 0.7f;
    p.query = query.data(), p.query_row = channels + 2;
    p.places = places, p.out = out.data(), p.weights = weights.data();
    Random random(11, Purpose::kGenerate);
    if (sources == 0) {
      p.key_row = 3 * channels, p.value = channels;
      for (std::int64_t t = 0; t < places; ++t) {
        const std::int64_t held = 1 + t % 4;
        steps.push_back(random_numbers(held * 3 * channels, 100 + static_cast<std::uint64_t>(t)));
        for (std::int64_t r = 0; r < held; ++r)  // the tape's own queries are never read
          for (std::int64_t c = 0; c < channels; ++c)
            steps.back()[r * 3 * channels + c] = std::numeric_limits<float>::quiet_NaN();
      }
      for (const auto& step : steps) tape.push_back(step.data() + channels);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t t = 0; t < places; ++t)
          place.push_back(
              static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(1 + t % 4))));
      p.tape = tape.data(), p.place = place.data();
    } else {
      p.key_row = 2 * channels, p.value = channels, p.sources = sources;
      steps.push_back(random_numbers(sources * places * 2 * channels, 9));
      for (std::int64_t b = 0; b < sources; ++b) {
        length.push_back(b % 2 == 0 ? places - b % places : b % (places + 1));
        for (std::int64_t t = length.back(); t < places; ++t)  // hidden places hold NaN
          for (std::int64_t c = 0; c < 2 * channels; ++c)
            steps[0][(b * places + t) * 2 * channels + c] = std::numeric_limits<float>::quiet_NaN();
      }
      p.memory = steps[0].data(), p.length = length.data();
    }
  }

  void run() {
    Guarded<float> workspace(step_attention_workspace(p));
    p.workspace = workspace.data();
    step_attention(p);
    EXPECT_TRUE(workspace.intact() && out.intact() && weights.intact());
  }

  const float* key(std::int64_t r, std::int64_t t) const {
    if (p.tape)
      return tape[static_cast<std::size_t>(t)] +
             place[static_cast<std::size_t>(r * p.places + t)] * p.key_row;
    return p.memory + (r / (p.rows / p.sources) * p.places + t) * p.key_row;
  }

  void expect_right() const {
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const std::int64_t n =
          p.tape ? p.places : length[static_cast<std::size_t>(r / (p.rows / p.sources))];
      std::vector<double> mean(static_cast<std::size_t>(p.places));
      for (std::int64_t h = 0; h < p.heads; ++h) {
        std::vector<double> w;
        double sum = 0;
        for (std::int64_t t = 0; t < n; ++t) {
          double score = 0;
          for (std::int64_t c = 0; c < p.width; ++c)
            score += static_cast<double>(query[r * p.query_row + h * p.width + c]) *
                     static_cast<double>(key(r, t)[h * p.width + c]);
          w.push_back(std::exp(static_cast<double>(p.scale) * score)), sum += w.back();
        }
        for (std::int64_t t = 0; t < n; ++t)
          mean[static_cast<std::size_t>(t)] +=
              w[static_cast<std::size_t>(t)] / sum / static_cast<double>(p.heads);
        for (std::int64_t c = 0; c < p.width; ++c) {
          double wanted = 0;
          for (std::int64_t t = 0; t < n; ++t)
            wanted += w[static_cast<std::size_t>(t)] / sum *
                      static_cast<double>(key(r, t)[p.value + h * p.width + c]);
          ASSERT_NEAR(static_cast<double>(out[r * channels + h * p.width + c]), wanted, 60 * kEps)
              << r << " " << h << " " << c;
        }
      }
      for (std::int64_t t = 0; t < p.places; ++t)
        ASSERT_NEAR(static_cast<double>(weights[r * p.places + t]),
                    mean[static_cast<std::size_t>(t)], 30 * kEps);
    }
  }

  std::int64_t channels;
  Guarded<float> query, out, weights;
  std::vector<Guarded<float>> steps;
  std::vector<const float*> tape;
  std::vector<std::int32_t> place;
  std::vector<std::int64_t> length;
  StepAttention p;
};

TEST(StepAttention, IsTheFormulaOnEveryTarget) {
  test::for_each_target([] {
    for (const std::int64_t width : {1, 3, 16, 31, 32, 64, 65, 80})
      for (const std::int64_t places : {1, 3, 4, 5, 16, 33})
        for (const std::int64_t sources : {0, 1, 3}) {
          Attention attention(6, 1 + width % 3, width, places, sources);
          attention.run();
          attention.expect_right();
        }
  });
}

TEST(StepAttention, RowsThatSeeNothingGiveZero) {
  Attention attention(4, 2, 5, 3, 2);
  attention.length = {0, 2}, attention.p.length = attention.length.data();
  for (std::int64_t i = 0; i < 3 * 20; ++i)
    attention.steps[0][i] = std::numeric_limits<float>::quiet_NaN();
  attention.run();
  for (std::int64_t i = 0; i < 2 * 10; ++i) EXPECT_EQ(attention.out[i], 0);
  for (std::int64_t i = 0; i < 2 * 3; ++i) EXPECT_EQ(attention.weights[i], 0);
}

TEST(StepAttention, LargeScoresDoNotOverflow) {
  Attention attention(2, 1, 4, 5, 1);
  for (std::int64_t i = 0; i < 12; ++i) attention.query[i] *= 1000;
  attention.run();
  for (std::int64_t i = 0; i < 8; ++i) EXPECT_TRUE(std::isfinite(attention.out[i]));
}

TEST(StepAttention, SameBitsForAnyNumberOfThreads) {
  std::vector<float> first;
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    Attention attention(48, 4, 32, 20, 16);
    attention.run();
    if (first.empty()) first = attention.out.values();
    EXPECT_EQ(attention.out.values(), first);
  }
}

TEST(LogSoftmaxRows, IsTheFormulaOnEveryTarget) {
  test::for_each_target([] {
    for (const std::int64_t n : {1, 2, 15, 16, 17, 100, 1000}) {
      const Guarded<float> x = random_numbers(3 * n, 5, 200);
      Guarded<float> y = x;
      log_softmax_rows(y.data(), 3, n);
      EXPECT_TRUE(y.intact());
      for (std::int64_t r = 0; r < 3; ++r) {
        const double most = static_cast<double>(*std::max_element(&x[r * n], &x[r * n] + n));
        double sum = 0;
        for (std::int64_t i = 0; i < n; ++i)
          sum += std::exp(static_cast<double>(x[r * n + i]) - most);
        for (std::int64_t i = 0; i < n; ++i)
          ASSERT_NEAR(static_cast<double>(y[r * n + i]),
                      static_cast<double>(x[r * n + i]) - most - std::log(sum), 1000 * kEps);
      }
    }
  });
}

TEST(LogSoftmaxRows, NaNSpoilsItsRowAlone) {
  test::for_each_target([] {
    for (const std::int64_t at : {0, 20, 36}) {
      Guarded<float> x = random_numbers(2 * 37, 5);
      x[at] = std::numeric_limits<float>::quiet_NaN();
      log_softmax_rows(x.data(), 2, 37);
      for (std::int64_t i = 0; i < 37; ++i) EXPECT_TRUE(std::isnan(x[i]) && !std::isnan(x[37 + i]));
    }
  });
}

template <class T>
class BestOfRowsKernel : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(BestOfRowsKernel, Types);

TYPED_TEST(BestOfRowsKernel, IsASortOnEveryTarget) {
  using T = TypeParam;
  test::for_each_target([] {
    Random random(3, Purpose::kGenerate);
    for (const std::int64_t n : {1, 5, 31, 32, 63, 64, 65, 200, 1000})
      for (const std::int64_t k : {1, 2, 5, 40}) {
        Guarded<T> x(3 * n, 1), value(3 * k, 1);
        std::vector<std::int64_t> index(static_cast<std::size_t>(3 * k));
        for (std::int64_t i = 0; i < 3 * n;
             ++i) {  // few different numbers: many are equal, some −∞
          x[i] = static_cast<T>(random.below(20)) - 10;
          if (x[i] < -8) x[i] = -std::numeric_limits<T>::infinity();
        }
        best_of_rows(BestOfRows<T>{3, n, k, x.data(), value.data(), index.data()});
        EXPECT_TRUE(value.intact());
        for (std::int64_t r = 0; r < 3; ++r) {
          std::vector<std::int64_t> order;
          for (std::int64_t i = 0; i < n; ++i)
            if (!std::isinf(x[r * n + i])) order.push_back(i);
          std::stable_sort(order.begin(), order.end(),
                           [&](auto a, auto b) { return x[r * n + a] > x[r * n + b]; });
          for (std::int64_t j = 0; j < k; ++j) {
            const std::int64_t found = index[static_cast<std::size_t>(r * k + j)];
            if (j >= static_cast<std::int64_t>(order.size())) {
              ASSERT_EQ(found, -1);
              continue;
            }
            ASSERT_EQ(found, order[static_cast<std::size_t>(j)])
                << "n " << n << " k " << k << " place " << j;
            ASSERT_EQ(value[r * k + j], x[r * n + found]);
          }
        }
      }
  });
}

TYPED_TEST(BestOfRowsKernel, NaNIsToldWhereverItStands) {
  using T = TypeParam;
  test::for_each_target([] {
    for (const std::int64_t n : {1, 64, 100, 130})
      for (std::int64_t at = 0; at < n; at += 9) {
        Guarded<T> x(2 * n, 1, T{1}), value(2 * 3);
        x[at] = std::numeric_limits<T>::quiet_NaN();
        std::vector<std::int64_t> index(6);
        best_of_rows(BestOfRows<T>{2, n, 3, x.data(), value.data(), index.data()});
        EXPECT_EQ(index[0], -2);
        EXPECT_EQ(index[3], 0);
      }
  });
}

}  // namespace
}  // namespace attend::kernels
