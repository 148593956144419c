#include "attend/decode/search.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::decode {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Tokens = std::vector<std::int64_t>;

constexpr std::int64_t kEos = 3;

/// p(token | source, all tokens so far) from a hash: a table without structure, so that nothing but
/// the right history gives the right numbers. Attention likewise.
class TableModel : public models::StepModel {
 public:
  TableModel(std::vector<std::uint64_t> sources, std::int64_t vocabulary, std::int64_t keys = 4)
      : ids_(std::move(sources)), vocabulary_(vocabulary), keys_(keys) {}

  std::int64_t sources() const override { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t vocabulary() const override { return vocabulary_; }
  void start() override {
    histories_.clear();
    for (const std::uint64_t id : ids_) histories_.push_back({id, {}});
  }
  models::StepResult step(const at::Tensor& tokens, const at::Tensor& parents) override {
    std::vector<History> next;
    for (std::int64_t r = 0; r < tokens.size(0); ++r) {
      next.push_back(histories_.at(static_cast<std::size_t>(parents[r].item<std::int64_t>())));
      next.back().tokens.push_back(tokens[r].item<std::int64_t>());
    }
    histories_ = std::move(next);
    ++steps;
    rows += tokens.size(0);
    const auto n = tokens.size(0);
    models::StepResult out{at::empty({n, vocabulary_}, at::kDouble), at::Tensor()};
    if (keys_ > 0) out.attention = at::empty({n, keys_}, at::kFloat);
    for (std::int64_t r = 0; r < n; ++r) {
      const History& history = histories_[static_cast<std::size_t>(r)];
      const auto p = log_p(history.source, history.tokens);
      std::copy(p.begin(), p.end(),
                out.log_probabilities.mutable_data_ptr<double>() + r * vocabulary_);
      if (keys_ == 0) continue;
      const auto a = attention(history.source, history.tokens);
      std::copy(a.begin(), a.end(), out.attention.mutable_data_ptr<float>() + r * keys_);
    }
    return out;
  }

  /// `tokens` begins with bos.
  std::vector<double> log_p(std::uint64_t source, const Tokens& tokens) const {
    Random random = stream(source, tokens);
    std::vector<double> out;
    double sum = 0;
    for (std::int64_t v = 0; v < vocabulary_; ++v) {
      out.push_back(std::exp(2 * random.normal()) * (v == kEos ? eos_weight : 1));
      sum += out.back();
    }
    for (double& p : out) p = std::log(p / sum);
    return out;
  }
  std::vector<float> attention(std::uint64_t source, const Tokens& tokens) const {
    Random random = stream(source, tokens);
    for (int i = 0; i < 100; ++i) random.bits();
    std::vector<float> out;
    float sum = 0;
    for (std::int64_t j = 0; j < keys_; ++j)
      out.push_back(static_cast<float>(std::exp(2 * random.normal()))), sum += out.back();
    for (float& a : out) a /= sum;
    return out;
  }

  double eos_weight = 1;
  std::int64_t steps = 0, rows = 0;

 private:
  struct History {
    std::uint64_t source;
    Tokens tokens;
  };
  static Random stream(std::uint64_t source, const Tokens& tokens) {
    std::uint64_t hash = source + 1;
    for (const std::int64_t token : tokens)
      hash = hash * 1000003 + static_cast<std::uint64_t>(token) + 7;
    return Random(hash, Purpose::kGenerate);
  }
  std::vector<std::uint64_t> ids_;
  std::int64_t vocabulary_, keys_;
  std::vector<History> histories_;
};

/// Every sentence of at most `longest` allowed tokens, by the formulas of Wu et al. 2016, eq. 14.
std::vector<Hypothesis> enumerate(const TableModel& model, std::uint64_t source,
                                  const SearchOptions& o, const BeamOptions& beam) {
  std::vector<Hypothesis> all;
  const std::function<void(Hypothesis&, Tokens)> grow = [&](Hypothesis& h, Tokens history) {
    const auto log_p = model.log_p(source, history);
    Hypothesis ended = h;
    ended.log_probability += log_p[kEos];
    const double lp =
        std::pow((5 + static_cast<double>(h.tokens.size()) + 1) / 6, beam.length_alpha);
    double cp = 0;
    for (std::size_t j = 0; !h.attention.empty() && j < h.attention[0].size(); ++j) {
      double sum = 0;
      for (const auto& row : h.attention) sum += static_cast<double>(row[j]);
      cp += std::log(std::min(sum, 1.0));
    }
    ended.score = ended.log_probability / lp + beam.coverage_beta * cp;
    if (static_cast<std::int64_t>(h.tokens.size()) >= o.min_length) all.push_back(ended);
    if (static_cast<std::int64_t>(h.tokens.size()) == o.max_length) return;
    const auto attention = model.attention(source, history);
    for (std::int64_t v = 0; v < model.vocabulary(); ++v) {
      if (v == kEos || std::count(o.forbidden.begin(), o.forbidden.end(), v) > 0) continue;
      Hypothesis more = h;
      more.tokens.push_back(v);
      more.log_probability += log_p[static_cast<std::size_t>(v)];
      more.attention.push_back(attention);
      Tokens longer = history;
      longer.push_back(v);
      grow(more, longer);
    }
  };
  Hypothesis none;
  grow(none, {o.bos});
  std::sort(all.begin(), all.end(),
            [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  return all;
}

void expect_same(const Hypothesis& a, const Hypothesis& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_NEAR(a.log_probability, b.log_probability, 1e-12);
  EXPECT_NEAR(a.score, b.score, 1e-12);
  EXPECT_EQ(a.attention, b.attention);
  EXPECT_EQ(a.ended, b.ended);
}

TEST(Beam, AWideOneFindsWhatEnumerationFinds) {
  for (const double alpha : {0.0, 0.6, 2.0})
    for (const double beta : {0.0, 0.3})
      for (std::uint64_t source = 0; source < 8; ++source) {
        TableModel model({source}, 6);
        SearchOptions o;
        o.max_length = 4;
        o.min_length = source % 3 == 0 ? 2 : 0;
        BeamOptions beam;
        beam.beam = 1000;  // more than the 3^4 + … sentences
        beam.best = 7;
        beam.length_alpha = alpha;
        beam.coverage_beta = beta;
        const auto found = beam_search(model, o, beam)[0];
        const auto truth = enumerate(model, source, o, beam);
        ASSERT_EQ(found.size(), 7U);
        for (std::size_t i = 0; i < found.size(); ++i) expect_same(found[i], truth[i]);
      }
}

/// Beam search written down naively: whole sentences in a list, sorted at each step.
std::vector<Hypothesis> plain_beam(const TableModel& model, std::uint64_t source,
                                   const SearchOptions& o, const BeamOptions& beam) {
  std::vector<Hypothesis> open(1), ended;
  for (std::int64_t length = 0; length <= o.max_length && !open.empty(); ++length) {
    std::vector<std::pair<Hypothesis, std::int64_t>> all;
    for (const Hypothesis& h : open) {
      Tokens history = {o.bos};
      history.insert(history.end(), h.tokens.begin(), h.tokens.end());
      const auto log_p = model.log_p(source, history);
      for (std::int64_t v = 0; v < model.vocabulary(); ++v) {
        if (std::count(o.forbidden.begin(), o.forbidden.end(), v) > 0) continue;
        if (length == o.max_length && v != kEos) continue;
        Hypothesis more = h;
        more.log_probability += log_p[static_cast<std::size_t>(v)];
        if (v != kEos) {
          more.tokens.push_back(v);
          more.attention.push_back(model.attention(source, history));
        }
        all.emplace_back(more, v);
      }
    }
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return a.first.log_probability > b.first.log_probability;
    });
    open.clear();
    for (std::size_t i = 0; i < all.size() && i < static_cast<std::size_t>(beam.beam); ++i) {
      auto& [h, v] = all[i];
      if (v != kEos) {
        open.push_back(h);
        continue;
      }
      h.score = h.log_probability /
                std::pow((6.0 + static_cast<double>(h.tokens.size())) / 6, beam.length_alpha);
      ended.push_back(h);
    }
  }
  std::stable_sort(ended.begin(), ended.end(),
                   [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  return ended;
}

TEST(Beam, ANarrowOneIsThePlainAlgorithmAndStoppingChangesNothing) {
  std::int64_t saved = 0;
  for (std::uint64_t source = 0; source < 60; ++source)
    for (const double alpha : {0.0, 1.0, 3.0}) {
      TableModel model({source}, 9);
      model.eos_weight = source % 2 ? 3 : 0.3;
      SearchOptions o;
      o.max_length = 12;
      BeamOptions beam;
      beam.beam = 1 + static_cast<std::int64_t>(source % 5);
      beam.best = 1 + static_cast<std::int64_t>(source % static_cast<std::uint64_t>(beam.beam));
      beam.length_alpha = alpha;
      const auto quick = beam_search(model, o, beam)[0];
      const auto steps = model.steps;
      beam.stop_early = false;
      const auto slow = beam_search(model, o, beam)[0];
      saved += model.steps - 2 * steps;
      const auto truth = plain_beam(model, source, o, beam);
      ASSERT_EQ(slow.size(), std::min(truth.size(), static_cast<std::size_t>(beam.best)));
      ASSERT_EQ(quick.size(), slow.size());
      for (std::size_t i = 0; i < slow.size(); ++i) {
        expect_same(slow[i], truth[i]);
        expect_same(quick[i], slow[i]);
      }
    }
  EXPECT_GT(saved, 100);  // steps: it does stop early
}

TEST(Beam, OfOneIsGreedy) {
  TableModel model({1, 2, 3, 4, 5}, 12);
  SearchOptions o;
  o.max_length = 9;
  BeamOptions beam;
  beam.beam = 1;
  const auto one = beam_search(model, o, beam), other = greedy(model, o);
  for (std::size_t b = 0; b < 5; ++b) expect_same(one[b][0], other[b][0]);
}

TEST(Search, ASentenceAloneAndInABatch) {
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < 17; ++i) ids.push_back(i * 7 + 1);
  SearchOptions o;
  o.max_length = 10;
  BeamOptions beam;
  beam.beam = 4, beam.best = 3, beam.length_alpha = 0.6, beam.coverage_beta = 0.2;
  SampleOptions draw;
  draw.samples = 3, draw.top_k = 6, draw.top_p = 0.9, draw.temperature = 1.3, draw.seed = 11;
  TableModel all(ids, 10);
  const auto beams = beam_search(all, o, beam);
  const auto firsts = greedy(all, o);
  const auto drawn = sample(all, o, draw);
  for (std::size_t b = 0; b < ids.size(); ++b) {
    TableModel one({ids[b]}, 10);
    draw.first_source = b;
    const auto alone = beam_search(one, o, beam)[0];
    const auto alone_drawn = sample(one, o, draw)[0];
    ASSERT_EQ(alone.size(), beams[b].size());
    for (std::size_t i = 0; i < alone.size(); ++i) expect_same(alone[i], beams[b][i]);
    for (std::size_t i = 0; i < 3; ++i) expect_same(alone_drawn[i], drawn[b][i]);
    expect_same(greedy(one, o)[0][0], firsts[b][0]);
  }
}

TEST(Search, AnEndedSentenceTakesNoMoreRows) {
  TableModel model({1, 2, 3, 4}, 8);
  SearchOptions o;
  o.max_length = 20;
  std::int64_t tokens = 0;
  for (const auto& found : greedy(model, o))
    tokens += static_cast<std::int64_t>(found[0].tokens.size()) + 1;
  EXPECT_EQ(model.rows, tokens);
}

TEST(Search, LengthsPrefixesAndForbiddenTokens) {
  TableModel model({1, 2}, 8);
  model.eos_weight = 50;
  SearchOptions o;
  o.max_length = 6;
  o.min_length = 3;
  o.prefixes = {{5, 6}, {}};
  o.forbidden = {0, 2, 1, 7};
  BeamOptions beam;
  beam.beam = beam.best = 4;
  for (const Hypotheses& all : {greedy(model, o), beam_search(model, o, beam), sample(model, o)})
    for (std::size_t b = 0; b < 2; ++b)
      for (const Hypothesis& h : all[b]) {
        EXPECT_GE(h.tokens.size(), 3U);
        EXPECT_LE(h.tokens.size(), 6U);
        if (b == 0) {
          EXPECT_THAT(Tokens(h.tokens.begin(), h.tokens.begin() + 2), ElementsAre(5, 6));
        }
        for (std::size_t t = b == 0 ? 2 : 0; t < h.tokens.size(); ++t)
          EXPECT_THAT(h.tokens[t], testing::AnyOf(4, 5, 6));
        double log_p = 0;  // the forced tokens count as well
        Tokens history = {2};
        for (const std::int64_t token : h.tokens) {
          log_p += model.log_p(b + 1, history)[static_cast<std::size_t>(token)];
          history.push_back(token);
        }
        log_p += model.log_p(b + 1, history)[kEos];
        EXPECT_NEAR(h.log_probability, log_p, 1e-12);
        EXPECT_EQ(h.attention.size(), h.tokens.size());
      }
  o.max_lengths = {3, 4};
  o.min_length = 0;
  model.eos_weight = 1e-9;
  const auto cut = greedy(model, o);
  EXPECT_EQ(cut[0][0].tokens.size(), 3U);
  EXPECT_EQ(cut[1][0].tokens.size(), 4U);
  EXPECT_TRUE(cut[1][0].ended);  // its eos is forced and counted
}

TEST(Search, NothingPossibleIsSaidNotInvented) {
  TableModel model({1}, 8);
  model.eos_weight = 0;
  SearchOptions o;
  o.max_length = 3;
  for (const Hypotheses& all : {greedy(model, o), beam_search(model, o), sample(model, o)}) {
    ASSERT_EQ(all[0].size(), 1U);
    EXPECT_FALSE(all[0][0].ended);
    EXPECT_EQ(all[0][0].tokens.size(), 3U);
  }
  TableModel none({}, 8);
  EXPECT_TRUE(greedy(none).empty());
  EXPECT_TRUE(beam_search(none).empty());
}

TEST(Search, WithoutAttention) {
  TableModel model({1, 2}, 8, 0);
  SearchOptions o;
  o.max_length = 5;
  EXPECT_TRUE(beam_search(model, o)[0][0].attention.empty());
  EXPECT_TRUE(hard_alignment(greedy(model, o)[0][0]).empty());
}

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

TEST(Alignment, UnknownWordsBecomeTheirSource) {
  Hypothesis h;
  h.tokens = {5, 1, 1, 6};
  h.attention = {{0.5F, 0.2F, 0.3F}, {0.1F, 0.8F, 0.1F}, {0.1F, 0.1F, 0.8F}, {0.4F, 0.4F, 0.2F}};
  EXPECT_THAT(hard_alignment(h), ElementsAre(0, 1, 2, 0));
  const std::vector<std::string> source = {"ein", "Zebra"};
  EXPECT_THAT(replace_unknown(h, {"a", "<unk>", "<unk>", "b"}, source, 1),
              ElementsAre("a", "Zebra", "<unk>", "b"));  // place 2 is behind the words: eos
  EXPECT_THROW(replace_unknown(h, {"a"}, source, 1), Error);
  h.attention.clear();
  EXPECT_THAT(replace_unknown(h, {"a", "<unk>", "c", "d"}, source, 1),
              ElementsAre("a", "<unk>", "c", "d"));
}

template <class F>
std::string message_of(F&& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Search, Messages) {
  TableModel model({1, 2}, 8);
  const auto search = [&](const SearchOptions& o) { return message_of([&] { greedy(model, o); }); };
  SearchOptions o;
  o.max_length = 0;
  EXPECT_EQ(search(o), "greedy: max_length is 0; give 1 or more");
  o = {}, o.max_lengths = {1, 2, 3};
  EXPECT_THAT(search(o), HasSubstr("max_lengths has 3 values for 2 sources"));
  o = {}, o.max_lengths = {1, -2};
  EXPECT_THAT(search(o), HasSubstr("max_length is -2"));
  o = {}, o.min_length = -1;
  EXPECT_THAT(search(o), HasSubstr("min_length is -1"));
  o = {}, o.min_length = 5, o.max_length = 4;
  EXPECT_THAT(search(o), HasSubstr("min_length 5 is above max_length 4"));
  o = {}, o.prefixes = {{4}};
  EXPECT_THAT(search(o), HasSubstr("prefixes has 1 lists for 2 sources"));
  o = {}, o.prefixes = {{4}, {9}};
  EXPECT_THAT(search(o), HasSubstr("prefix token 9 is no id of the vocabulary 0…7"));
  o = {}, o.prefixes = {{4}, {3}};
  EXPECT_THAT(search(o), HasSubstr("the prefix of source 1 holds eos"));
  o = {}, o.prefixes = {{4, 4}, {}}, o.max_length = 1;
  EXPECT_THAT(search(o), HasSubstr("the prefix of source 0 has 2 tokens, more than max_length 1"));
  o = {}, o.forbidden = {3};
  EXPECT_THAT(search(o), HasSubstr("eos is among the forbidden tokens"));
  o = {}, o.eos = 8;
  EXPECT_THAT(search(o), HasSubstr("eos 8 is no id"));
  const auto beam = [&](BeamOptions b) { return message_of([&] { beam_search(model, {}, b); }); };
  EXPECT_THAT(beam({0, 1}), HasSubstr("beam is 0; give 1…1000"));
  EXPECT_THAT(beam({1'000'000'000, 1}), HasSubstr("beam is 1000000000"));
  EXPECT_THAT(beam({4, 5}), HasSubstr("best is 5; give 1…beam (4)"));
  EXPECT_THAT(beam({4, 1, -1}), HasSubstr("length_alpha is -1"));
  EXPECT_THAT(beam({4, 1, std::nan("")}), HasSubstr("length_alpha is nan"));
  EXPECT_THAT(beam({4, 1, 0, -1}), HasSubstr("coverage_beta is -1"));
  const auto draw = [&](SampleOptions s) { return message_of([&] { sample(model, {}, s); }); };
  EXPECT_THAT(draw({0}), HasSubstr("samples is 0"));
  EXPECT_THAT(draw({1, 0}), HasSubstr("temperature is 0"));
  EXPECT_THAT(draw({1, 1, -1}), HasSubstr("top_k is -1"));
  EXPECT_THAT(draw({1, 1, 0, 0}), HasSubstr("top_p is 0"));
  EXPECT_THAT(draw({1, 1, 0, 1.1}), HasSubstr("top_p is 1.1"));
  TableModel blind({1}, 8, 0);
  EXPECT_THAT(message_of([&] {
                beam_search(blind, {}, {4, 1, 0, 1});
              }),
              HasSubstr("coverage_beta needs a model"));
}

/// A model that gives what it was told to.
class Broken : public models::StepModel {
 public:
  explicit Broken(models::StepResult result) : result_(std::move(result)) {}
  std::int64_t sources() const override { return 1; }
  std::int64_t vocabulary() const override { return 5; }
  void start() override {}
  models::StepResult step(const at::Tensor&, const at::Tensor&) override { return result_; }

 private:
  models::StepResult result_;
};

TEST(Search, AModelThatGivesNonsense) {
  const auto told = [](models::StepResult result) {
    Broken model(std::move(result));
    return message_of([&] { beam_search(model); });
  };
  EXPECT_THAT(told({}), HasSubstr("step 1: the model gave log_probabilities of shape none"));
  at::Tensor log_p = at::empty({1, 5}, at::kFloat).fill_(-1.6F);
  EXPECT_THAT(told({log_p.t(), {}}), HasSubstr("shape [5, 1]; expected [1, 5]"));
  EXPECT_THAT(told({log_p, at::empty({2, 3})}),
              HasSubstr("attention of shape [2, 3]; expected [1, Lk]"));
  log_p.mutable_data_ptr<float>()[2] = std::nanf("");
  EXPECT_THAT(told({log_p, {}}), HasSubstr("step 1: the model gave NaN for source 0"));
}

TEST(Search, ALongSentenceNeedsNoDeepStack) {
  TableModel model({1}, 5);
  model.eos_weight = 1e-9;
  SearchOptions o;
  o.max_length = 1500;
  EXPECT_EQ(greedy(model, o)[0][0].tokens.size(), 1500U);
}

}  // namespace
}  // namespace attend::decode
