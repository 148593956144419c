#include "train/translation_search.h"

#include "attend/models/translator_steps.h"
#include "attend/train/translation_metrics.h"
#include "train/translation.h"

namespace attend::train {
namespace {

constexpr std::int64_t kSearchRows = 256;  // hypotheses that are advanced together

}  // namespace

std::vector<decode::Hypothesis> search(models::Translator& translator,
                                       const std::vector<std::vector<std::int64_t>>& sources,
                                       const Recipe::Decode& how) {
  std::vector<PairIds> pairs;
  pairs.reserve(sources.size());
  for (const auto& source : sources) pairs.push_back({source, {}});
  std::vector<decode::Hypothesis> out(sources.size());
  std::vector<std::int64_t> order = by_length(pairs);
  std::erase_if(order,
                [&](std::int64_t i) { return sources[static_cast<std::size_t>(i)].empty(); });
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, kSearchRows / how.beams));
  for (std::size_t begin = 0; begin < order.size(); begin += most) {
    const std::vector<std::int64_t> rows(
        order.begin() + static_cast<std::ptrdiff_t>(begin),
        order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), begin + most)));
    const models::TranslationBatch batch = make_batch(pairs, rows);
    models::TranslatorSteps steps(translator, batch.source, batch.source_lengths);
    decode::SearchOptions options;
    for (const std::int64_t r : rows)
      options.max_lengths.push_back(
          how.max_length > 0
              ? how.max_length
              : 2 * static_cast<std::int64_t>(sources[static_cast<std::size_t>(r)].size()) + 10);
    decode::BeamOptions beam;
    beam.beam = how.beams, beam.length_alpha = how.length_penalty,
    beam.coverage_beta = how.coverage_penalty;
    decode::Hypotheses found =
        how.beams == 1 ? decode::greedy(steps, options) : decode::beam_search(steps, options, beam);
    for (std::size_t i = 0; i < rows.size(); ++i)
      out[static_cast<std::size_t>(rows[i])] = std::move(found[i].front());
  }
  return out;
}

TranslationScores translation_scores(const std::vector<std::string>& translations,
                                     const std::vector<std::string>& references) {
  const std::vector<References> single = single_references(references);
  std::int64_t exact = 0;
  for (std::size_t i = 0; i < references.size(); ++i) exact += translations[i] == references[i];
  SegmentScores b = bleu(translations, single);
  const double corpus = b.corpus();
  return {{{"bleu", corpus},
           {"chrf", chrf(translations, single).corpus()},
           {"exact_match", static_cast<double>(exact) / static_cast<double>(references.size())}},
          std::move(b)};
}

}  // namespace attend::train
