// Goldens: scipy 1.x (kendalltau variant b, binomtest Wilson interval, t.ppf, ttest_rel). Mutations
// these tests kill: ties not corrected; magnitudes replaced by signed values; NaN pairs kept; > for
// ≥ when counting shuffles; one-sided chance read from the wrong tail; the seed ignored; a
// verdict's threshold moved; n for n − 1; the normal quantile for Student's.
#include "attend/explain/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::explain {
namespace {

using Values = std::vector<double>;
const double kNan = std::nan("");

double by_definition(const Values& a, const Values& b) {
  double score = 0, untied_a = 0, untied_b = 0;
  const auto sign = [](double x) { return (x > 0) - (x < 0); };
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = i + 1; j < a.size(); ++j) {
      score += sign(a[i] - a[j]) * sign(b[i] - b[j]);
      untied_a += a[i] != a[j];
      untied_b += b[i] != b[j];
    }
  }
  return score / std::sqrt(untied_a * untied_b);
}

TEST(Kendall, IsScipys) {
  EXPECT_NEAR(kendall_tau_b({1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}), 1, 1e-15);
  EXPECT_NEAR(kendall_tau_b({1, 2, 3, 4, 5}, {5, 3, 4, 1, 2}), -.6, 1e-15);
  EXPECT_NEAR(kendall_tau_b({1, 1, 2, 2, 3, 3, 3, 4}, {2, 1, 2, 3, 3, 1, 3, 4}), 0.5652173913043479,
              1e-14);
  EXPECT_NEAR(kendall_tau_b({.1, .2, .1, .4, .4, .4, .05}, {0, 0, 1, 1, 0, 2, 2}),
              -0.12126781251816648, 1e-14);
  EXPECT_TRUE(std::isnan(kendall_tau_b({3, 1, 2}, {1, 1, 1})));
  const Values a = {6, 7, 0, 7, 4, 4, 5, 2, 8, 0, 2, 3, 5, 3, 1, 0, 0, 0, 1, 8,
                    1, 5, 6, 2, 2, 3, 2, 8, 1, 8, 7, 7, 1, 3, 5, 4, 5, 6, 5, 0,
                    8, 5, 8, 2, 3, 7, 1, 0, 3, 6, 1, 7, 3, 2, 4, 8, 7, 7, 2, 0};
  const Values b = {10, 11, 4,  7, 4, 7, 7, 4, 13, 1,  5,  4,  6, 7, 1,  1, 0, 0,  2, 12,
                    4,  7,  7,  6, 6, 4, 2, 9, 1,  12, 10, 10, 2, 6, 10, 5, 9, 6,  6, 5,
                    13, 5,  13, 7, 5, 9, 6, 5, 7,  8,  2,  12, 4, 5, 8,  9, 8, 11, 3, 4};
  EXPECT_NEAR(kendall_tau_b(a, b), 0.7363656795913693, 1e-14);
}

TEST(Kendall, IsTheDefinitionOnRandomListsWithTies) {
  Random random(3, Purpose::kGenerate);
  for (int trial = 0; trial < 300; ++trial) {
    Values a, b;
    const std::uint64_t n = 2 + random.below(70), levels = 2 + random.below(12);
    for (std::uint64_t i = 0; i < n; ++i)
      a.push_back(static_cast<double>(random.below(levels))),
          b.push_back(static_cast<double>(random.below(levels)));
    const double expected = by_definition(a, b), got = kendall_tau_b(a, b);
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(got));
    else
      EXPECT_NEAR(got, expected, 1e-13);
  }
}

TEST(Kendall, EdgesAndErrors) {
  EXPECT_TRUE(std::isnan(kendall_tau_b({}, {})));
  EXPECT_TRUE(std::isnan(kendall_tau_b({1}, {2})));
  EXPECT_TRUE(std::isnan(kendall_tau_b({1, kNan, 3}, {1, 2, 3})));
  EXPECT_THROW(kendall_tau_b({1, 2}, {1}), Error);
  EXPECT_THROW(rank_agreement({1, 2}, {1}), Error);
}

// All n! orders of b.
Values every_tau(const Values& a, Values b) {
  Values taus;
  std::vector<std::size_t> order(b.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const Values original = b;
  do {
    for (std::size_t i = 0; i < order.size(); ++i) b[i] = original[order[i]];
    taus.push_back(by_definition(a, b));
  } while (std::next_permutation(order.begin(), order.end()));
  std::sort(taus.begin(), taus.end());
  return taus;
}

TEST(RankAgreement, BandAndChanceAreThoseOfAllOrders) {
  for (const auto& [a, b] :
       {std::pair<Values, Values>{{.1, .5, .2, .05, .3, .01}, {.2, -.9, .1, .15, .3, 0}},
        std::pair<Values, Values>{{.3, .1, .1, .2, .05, .4}, {.1, .1, .4, .2, .2, .5}}}) {
    Values magnitudes = b;
    for (double& x : magnitudes) x = std::abs(x);
    const Values taus = every_tau(a, magnitudes);
    const Agreement got = rank_agreement(a, b, {40000, 5, 0});
    EXPECT_NEAR(got.tau, by_definition(a, magnitudes), 1e-14);
    const auto as_good =
        std::count_if(taus.begin(), taus.end(), [&](double t) { return t >= got.tau - 1e-12; });
    EXPECT_NEAR(got.chance, static_cast<double>(as_good) / static_cast<double>(taus.size()), .006);
    EXPECT_NEAR(got.band_low, taus[static_cast<std::size_t>(.025 * 720)],
                .08);  // τ moves in steps of 2/15
    EXPECT_NEAR(got.band_high, taus[static_cast<std::size_t>(.975 * 720)], .08);
  }
}

TEST(RankAgreement,
     LongListsKeepTheKnownVariance) {  // var τ = 2(2n + 5) / 9n(n − 1) without ties (Kendall 1938)
  for (const int n : {47, 60}) {       // below and above the change of method
    Values a, b;
    for (int i = 0; i < n; ++i) a.push_back(i + 1), b.push_back((i * 37) % 61 + 1);
    const Agreement got = rank_agreement(a, b, {4000, 2, 9});
    const double deviation = std::sqrt(2.0 * (2 * n + 5) / (9.0 * n * (n - 1)));
    EXPECT_NEAR(got.band_high / deviation, 1.96, .12) << n;
    EXPECT_NEAR(got.band_low / deviation, -1.96, .12) << n;
  }
}

TEST(RankAgreement, OneSeedOneBand) {
  const Values a = {.4, .1, .3, .2, .9, .5, .6}, b = {.1, .2, .5, .3, .8, .4, .05};
  const Agreement first = rank_agreement(a, b, {200, 1, 4}),
                  again = rank_agreement(a, b, {200, 1, 4});
  EXPECT_EQ(first.chance, again.chance);
  EXPECT_EQ(first.band_low, again.band_low);
  const Agreement other = rank_agreement(a, b, {200, 2, 4}),
                  index = rank_agreement(a, b, {200, 1, 5});
  EXPECT_NE(first.chance, other.chance);
  EXPECT_NE(first.chance, index.chance);
  EXPECT_EQ(first.tau, other.tau);
}

TEST(RankAgreement, PairsWithoutAValueAreLeftOut) {
  const Agreement got =
      rank_agreement({.1, kNan, .2, .3, -.4}, {.1, .9, -.2, kNan, .4}, {100, 1, 0});
  EXPECT_NEAR(got.tau, 1, 1e-15);
  EXPECT_GT(got.chance, .1);  // three words: 1 of 6 orders is as good
  EXPECT_TRUE(std::isnan(rank_agreement({.1, .2}, {.3, .3}).tau));
  EXPECT_TRUE(std::isnan(rank_agreement({kNan, .2}, {.3, .1}).chance));
}

TEST(VerdictRule, KeepsItsThresholds) {
  const Values peaked = {.6, .1, .1, .1, .1};
  const auto with = [&](double tau, double chance) {
    return verdict(peaked, {tau, chance, -.5, .5});
  };
  EXPECT_EQ(verdict({}, {}), Verdict::kNoAttention);
  EXPECT_EQ(verdict({kNan, kNan}, {}), Verdict::kNoAttention);
  EXPECT_EQ(verdict({kNan, .3}, {}), Verdict::kOneWord);
  EXPECT_EQ(verdict({.9, .05, .03, .02}, {1, .01, 0, 0}), Verdict::kFewWords);
  EXPECT_EQ(verdict({.25, .25, .25, .25}, {1, .01, 0, 0}), Verdict::kAllEqual);
  EXPECT_EQ(verdict({.11, .1, .09, .1, .1, kNan}, {1, .01, 0, 0}),
            Verdict::kAllEqual);  // half of it on padding
  EXPECT_EQ(with(kNan, kNan), Verdict::kNoEffect);
  EXPECT_EQ(with(-.001, .5), Verdict::kDisagree);
  EXPECT_EQ(with(0, .01), Verdict::kWeak);
  EXPECT_EQ(with(.199, .01), Verdict::kWeak);
  EXPECT_EQ(with(.2, .05), Verdict::kInPart);
  EXPECT_EQ(with(.2, .051), Verdict::kWeak);
  EXPECT_EQ(with(.9, .051), Verdict::kWeak);
  EXPECT_EQ(with(.599, .01), Verdict::kInPart);
  EXPECT_EQ(with(.6, .05), Verdict::kWell);
}

TEST(Entropy, InBits) {
  EXPECT_NEAR(entropy_bits({.25, .25, .25, .25}), 2, 1e-15);
  EXPECT_NEAR(entropy_bits({.1, .1, kNan, 0}), 1, 1e-15);  // scaled to sum 1
  EXPECT_EQ(entropy_bits({1}), 0);
  EXPECT_EQ(entropy_bits({}), 0);
  const Values at98 = {.35, .25, .22, .18};  // 1.958 bits: 97.9 % of 2, so not yet all equal
  EXPECT_LT(entropy_bits(at98), 1.96);
  EXPECT_EQ(verdict(at98, {}), Verdict::kFewWords);
}

TEST(Seeds, MeanOverAllPairs) {
  EXPECT_NEAR(mean_pairwise_tau({{1, 2, 3}, {1, 2, 3}, {3, 2, 1}}), (1 - 1 - 1) / 3.0, 1e-15);
  EXPECT_TRUE(std::isnan(mean_pairwise_tau({{1, 2, 3}})));
  EXPECT_NEAR(mean_pairwise_tau({{1, 2, 3}, {5, 5, 5}, {1, 2, 3}}), 1,
              1e-15);  // a constant list has no τ
}

TEST(Wilson, IsScipys) {
  const auto check = [](std::int64_t correct, std::int64_t total, double low, double high) {
    const Interval i = wilson(correct, total);
    EXPECT_DOUBLE_EQ(i.value, static_cast<double>(correct) / static_cast<double>(total));
    EXPECT_NEAR(i.low, low, 1e-12);
    EXPECT_NEAR(i.high, high, 1e-12);
  };
  check(325, 400, 0.7713439706023679, 0.8477108454386968);
  check(0, 10, 0, 0.27753279986288926);
  check(10, 10, 0.7224672001371109, 1);
  check(7, 12, 0.31951131254954973, 0.8067396863412435);
  EXPECT_TRUE(std::isnan(wilson(0, 0).value));
}

TEST(PairedDifference, IsScipys) {
  const Interval five =
      paired_difference({.7965, .8019, .8073, .7898, .8006}, {.8127, .7951, .8086, .8140, .8059});
  EXPECT_NEAR(five.value, .00804, 1e-15);
  EXPECT_NEAR(five.low, -0.007178515970367536, 1e-9);
  EXPECT_NEAR(five.high, 0.02325851597036754, 1e-9);
  const Interval fourteen = paired_difference(
      {.845, .841, -.607, -.07, 1.35, -.397, .189, -.021, .609, -.365, -.152, .242, .103, -.865},
      {1.196, -.998, -.901, -.982, 1.267, -.061, -.671, -.836, .721, -.755, -.972, .914, -.897,
       -.022});
  EXPECT_NEAR(fourteen.value, -0.33564285714285713, 1e-14);
  EXPECT_NEAR(fourteen.low, -0.7703497701700629, 2e-5);
  EXPECT_NEAR(fourteen.high, 0.09906405588434863, 2e-5);
  EXPECT_TRUE(std::isnan(paired_difference({.5}, {.6}).low));
  EXPECT_NEAR(paired_difference({.5}, {.6}).value, .1, 1e-15);
  EXPECT_TRUE(std::isnan(paired_difference({}, {}).value));
  EXPECT_THROW(paired_difference({1}, {}), Error);
}

}  // namespace
}  // namespace attend::explain
