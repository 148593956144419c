#include <map>

#include "table_model.h"

namespace attend::decode {
namespace {

TEST(Sample, FrequenciesAreTheModels) {
  SearchOptions o;
  o.max_length = 1;
  SampleOptions draw;
  draw.samples = 1000;
  const TableModel truth({5}, 8);
  struct Case {
    double temperature, top_p;
    std::int64_t top_k;
  };
  for (const Case& c : {Case{1, 1, 0}, Case{2, 1, 0}, Case{0.5, 1, 0}, Case{1, 1, 3},
                        Case{1, 0.7, 0}, Case{1.5, 0.8, 4}}) {
    draw.temperature = c.temperature, draw.top_p = c.top_p, draw.top_k = c.top_k;
    std::map<std::int64_t, double> counts;
    for (draw.seed = 0; draw.seed < 20; ++draw.seed) {
      TableModel model({5}, 8);
      const Hypotheses drawn = sample(model, o, draw);
      for (const Hypothesis& h : drawn[0]) ++counts[h.tokens.empty() ? kEos : h.tokens[0]];
    }
    // Holtzman et al. 2020, eq. 2 and 3, spelled out.
    auto log_p = truth.log_p(5, {2});
    std::vector<std::pair<double, std::int64_t>> p;
    double sum = 0;
    for (std::int64_t v = 0; v < 8; ++v)
      if (v != 0 && v != 2) {
        p.emplace_back(std::exp(log_p[static_cast<std::size_t>(v)] / c.temperature), v);
      }
    std::sort(p.rbegin(), p.rend());
    if (c.top_k > 0) p.resize(static_cast<std::size_t>(c.top_k));
    for (const auto& [weight, v] : p) sum += weight;
    double kept = 0;
    std::size_t n = 0;
    while (n < p.size() && kept < c.top_p * sum) kept += p[n++].first;
    if (c.top_p < 1)
      p.resize(n);
    else
      kept = sum;
    double seen = 0;
    for (const auto& [weight, v] : p) {
      EXPECT_NEAR(counts[v] / 20000, weight / kept, 0.015) << v;
      seen += counts[v];
    }
    EXPECT_EQ(seen, 20000);
  }
}

TEST(Sample, IsAFunctionOfTheSeed) {
  TableModel model({1, 2, 3}, 10);
  SearchOptions o;
  o.max_length = 12;
  SampleOptions draw;
  draw.seed = 4;
  const auto a = sample(model, o, draw), b = sample(model, o, draw);
  draw.seed = 5;
  const auto c = sample(model, o, draw);
  int differ = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(a[i][0].tokens, b[i][0].tokens);
    differ += a[i][0].tokens != c[i][0].tokens;
  }
  EXPECT_GT(differ, 0);
  draw.seed = 4;
  draw.top_k = 1;  // is greedy search
  EXPECT_EQ(sample(model, o, draw)[1][0].tokens, greedy(model, o)[1][0].tokens);
}

}  // namespace
}  // namespace attend::decode
