// Killed mutations: a beam whose rows all continue the first one.
#include <functional>

#include "table_model.h"

namespace attend::decode {
namespace {

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

}  // namespace
}  // namespace attend::decode
