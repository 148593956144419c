#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/train/translation.h"
#include "attend/train/translation_metrics.h"
#include "train/chosen_part.h"
#include "train/run_files.h"
#include "train/translation.h"
#include "train/translation_search.h"

namespace attend::train {
namespace {

constexpr char kWordMark[] = "\u2581";  // what a token begins with that white space stands before

/// The white-space word that each token is part of.
std::vector<std::int64_t> words_of_tokens(const data::TextCodec& codec,
                                          const std::vector<std::int64_t>& ids) {
  std::vector<std::int64_t> out;
  std::int64_t word = -1;
  for (const std::int64_t id : ids) {
    const std::string& token = codec.vocabulary().token(id);
    if (word < 0 || token.starts_with(kWordMark) || token == " ") ++word;
    out.push_back(word);
  }
  return out;
}

/// Token pairs as pairs of white-space words, each once.
data::Alignment word_links(const std::vector<std::pair<std::int64_t, std::int64_t>>& pairs,
                           const std::vector<std::int64_t>& source,
                           const std::vector<std::int64_t>& target) {
  data::Alignment out;
  for (const auto& [s, t] : pairs) {
    const data::Link link{source.at(static_cast<std::size_t>(s)),
                          target.at(static_cast<std::size_t>(t)), true};
    if (std::find(out.begin(), out.end(), link) == out.end()) out.push_back(link);
  }
  return out;
}

std::vector<std::vector<double>> as_doubles(const std::vector<std::vector<float>>& rows,
                                            std::size_t columns) {
  std::vector<std::vector<double>> out;
  out.reserve(rows.size());
  for (const auto& row : rows)
    out.emplace_back(row.begin(),
                     row.begin() + static_cast<std::ptrdiff_t>(std::min(columns, row.size())));
  return out;
}

/// AER of the alignments that the model's attention gives while it reads the references.
void add_alignment_error(const TranslationRun& run, const data::ParallelSet& set,
                         const std::vector<PairIds>& pairs, Metrics& metrics) {
  if (!run.config.attention || std::none_of(set.pairs.begin(), set.pairs.end(),
                                            [](const auto& p) { return !p.alignment.empty(); }))
    return;
  std::vector<data::Alignment> found, gold;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].source.empty() || pairs[i].target.empty()) continue;
    const models::TranslationBatch one = make_batch(pairs, {static_cast<std::int64_t>(i)});
    const at::Tensor weights =
        run.translator->alignment(one)[0].to(at::kDouble).contiguous();  // [T,S]
    std::vector<std::vector<double>> rows;
    for (std::int64_t t = 0; t < static_cast<std::int64_t>(pairs[i].target.size()); ++t) {
      const double* w = weights.const_data_ptr<double>() + t * weights.size(1);
      rows.emplace_back(w, w + weights.size(1));
    }
    found.push_back(word_links(word_pairs(rows), words_of_tokens(run.source, pairs[i].source),
                               words_of_tokens(run.target, pairs[i].target)));
    gold.push_back(set.pairs[i].alignment);
  }
  metrics["aer"] = alignment_error(found, gold).aer;
}

}  // namespace

TranslationRun load_translation(const std::string& given, Precision precision) {
  const RunFiles files = open_run(given, TaskKind::kTranslation);
  const std::string config_path = files.path + "/config.json";
  const models::TranslatorConfig config =
      translator_from_config_json(read_file(config_path), config_path);
  TranslationRun run{files, config, data::load_codec(files.path + "/tokenizer.json"),
                     data::load_codec(files.path + "/target_tokenizer.json"), nullptr};
  if (run.source.size() != config.source_vocabulary ||
      run.target.size() != config.target_vocabulary)
    fail_input(config_path + ": its vocabulary sizes are not those of the tokenizer files");
  run.translator = models::make_translator(config, 0);
  load_parameters(run.translator->parameters(), files.path + "/model.safetensors");
  run.translator->prepare(precision);
  return run;
}

std::vector<std::pair<std::int64_t, std::int64_t>> word_pairs(
    const std::vector<std::vector<double>>& weights) {
  std::vector<std::pair<std::int64_t, std::int64_t>> out;
  for (std::size_t t = 0; t < weights.size(); ++t) {
    const auto& row = weights[t];
    const auto most = std::max_element(row.begin(), row.end());
    if (most != row.end() && *most > 0)
      out.emplace_back(most - row.begin(), static_cast<std::int64_t>(t));
  }
  return out;
}

std::vector<Translation> translate(const TranslationRun& run,
                                   const std::vector<std::string>& texts) {
  return translate(run, texts, run.recipe.decode);
}

std::vector<Translation> translate(const TranslationRun& run, const std::vector<std::string>& texts,
                                   const Recipe::Decode& how) {
  std::vector<std::vector<std::int64_t>> sources;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    sources.push_back(run.source.encode(texts[i]));
    if (static_cast<std::int64_t>(sources.back().size()) > run.config.max_length)
      fail_input("sentence " + std::to_string(i + 1) + " has " +
                 std::to_string(sources.back().size()) +
                 " tokens, more than the run's data.max_tokens = " +
                 std::to_string(run.config.max_length));
  }
  const std::vector<decode::Hypothesis> found = search(*run.translator, sources, how);
  std::vector<Translation> out(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Translation& one = out[i];
    one.text = run.target.decode(found[i].tokens);
    one.score = found[i].score;
    one.source_tokens = run.source.words(sources[i]);
    one.target_tokens = run.target.words(found[i].tokens);
    one.source_ids = sources[i];
    one.target_ids = found[i].tokens;
    if (found[i].ended && !sources[i].empty()) one.target_ids.push_back(models::kEnd);
    one.weights = as_doubles(found[i].attention, sources[i].size());
    one.alignment = word_pairs(one.weights);
  }
  return out;
}

TranslationPairs translation_pairs(const TranslationRun& run, const std::string& data,
                                   const std::string& split) {
  const Recipe recipe = recipe_on(run.recipe, data);
  TranslationPairs out{recipe.data.name, split, {}};
  const data::ParallelCorpus corpus = load_pairs_of(recipe);
  out.set = part_of(corpus, chosen_part(out.split, out.data, "pairs", [&](Part part) {
                      return !part_of(corpus, part).pairs.empty();
                    }));
  return out;
}

TranslationEvaluation evaluate(const TranslationRun& run, const std::string& data,
                               const std::string& split) {
  const TranslationPairs chosen = translation_pairs(run, data, split);
  const data::ParallelSet& set = chosen.set;
  TranslationEvaluation out{run.path, chosen.data, chosen.split, 0, {}, {}, {}, {}};
  std::int64_t shortened = 0;
  const std::vector<PairIds> pairs =
      encode_pairs(set, {run.source, run.target}, run.config.max_length, shortened);
  std::vector<std::vector<std::int64_t>> sources;
  std::vector<std::string> texts, translations, references;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    sources.push_back(pairs[i].source);
    texts.push_back(set.pairs[i].source);
    references.push_back(set.pairs[i].target);
  }
  for (const decode::Hypothesis& h : search(*run.translator, sources, run.recipe.decode))
    translations.push_back(run.target.decode(h.tokens));
  out.n = static_cast<std::int64_t>(pairs.size());
  TranslationScores scores = translation_scores(translations, references);
  out.metrics = scores.metrics;
  out.bleu = std::move(scores.bleu);
  out.bleu_interval = bootstrap(out.bleu).interval;
  out.by_length = score_by_length(out.bleu, texts);
  out.metrics["loss"] = mean_loss(*run.translator, pairs);
  out.metrics["perplexity"] = std::exp(out.metrics["loss"]);
  add_alignment_error(run, set, pairs, out.metrics);
  return out;
}

}  // namespace attend::train
