// attend explain of a translation run: which source token each output token looked at, and which it needed.
#include <algorithm>

#include "attend/base/error.h"
#include "attend/explain/translation.h"
#include "attend/train/translation.h"
#include "attend/viz/translation.h"
#include "explain.h"
#include "output.h"
#include "pictures.h"

namespace attend::cli {
namespace {

/// Sentences with what the data say, if they come from data.
struct Sources {
  std::string data, split;
  std::vector<std::string> texts, references;
  std::vector<std::int64_t> ids;  // place in the data or on the command line, from 1
  void add(const std::string& text, const std::string& reference, std::size_t place) {
    texts.push_back(text);
    references.push_back(reference);
    ids.push_back(static_cast<std::int64_t>(place) + 1);
  }
};

Sources sources_of(const ExplainOptions& o, const train::TranslationRun& run) {
  Sources out;
  if (o.words.size() > 1) {
    if (!o.data.empty() || !o.split.empty() || o.count)
      fail_usage("give sentences, or --data, --split and --count to choose them, not both");
    for (std::size_t i = 1; i < o.words.size(); ++i) {
      check_sentence(o.words[i], i);
      out.add(o.words[i], "", i - 1);
    }
    return out;
  }
  const train::TranslationPairs chosen = train::translation_pairs(run, o.data, o.split);
  out.data = chosen.data, out.split = chosen.split;
  const std::size_t n = chosen.set.pairs.size(), count = std::min(n, wanted_sentences(o));
  for (std::size_t i = 0; i < count; ++i)  // evenly over the part
    out.add(chosen.set.pairs[i * n / count].source, chosen.set.pairs[i * n / count].target,
            i * n / count);
  return out;
}

struct Explained {
  train::Translation translation;
  explain::TranslationExplanation explanation;
};

std::vector<Explained> explain_all(const train::TranslationRun& run, const Sources& sources) {
  std::vector<Explained> out;
  for (train::Translation& t : train::translate(run, sources.texts)) {
    if (t.source_ids.empty())
      fail_input("sentence " + std::to_string(out.size() + 1) + " holds no token to read");
    explain::ShuffleOptions shuffles;
    shuffles.index = out.size();
    auto explanation =
        explain::explain_translation(*run.translator, t.source_ids, t.target_ids, shuffles);
    t.target_tokens = run.target.words(t.target_ids);  // with the end token, which attends as well
    out.push_back({std::move(t), std::move(explanation)});
  }
  return out;
}

viz::Translation drawn(const Explained& one, std::int64_t id, const std::string& reference) {
  const train::Translation& t = one.translation;
  const explain::TranslationExplanation& e = one.explanation;
  const explain::Agreement& a = e.attention_leave_one_out;
  viz::Translation out;
  out.id = id;
  out.source = t.source_tokens, out.target = t.target_tokens;
  out.text = t.text, out.reference = reference, out.score = t.score;
  out.weights = e.weights, out.effects = e.effects;
  out.attention = e.attention, out.leave_one_out = e.leave_one_out;
  out.attention_leave_one_out = {a.tau, a.chance, a.band_low, a.band_high};
  out.verdict = static_cast<viz::Verdict>(e.verdict);
  out.same_token = e.same_token, out.compared = e.compared;
  out.alignment = t.alignment;
  return out;
}

std::string model_name(const models::TranslatorConfig& c) {
  const std::string attends = c.attention ? "" : ", without attention";
  switch (c.architecture) {
    case models::Architecture::kBahdanau:
      return "Bahdanau " + std::to_string(c.hidden) + attends;
    case models::Architecture::kLuong:
      return "Luong " + std::to_string(c.hidden) + attends;
    case models::Architecture::kLstmn:
      return "LSTMN " + std::to_string(c.hidden);
    case models::Architecture::kTransformer:
      return "Transformer " + std::to_string(c.embedding_width);
  }
  return "";
}

viz::TranslationReport report_of(const train::TranslationRun& run, const Sources& sources,
                                 std::vector<viz::Translation> translations) {
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : run.translator->parameters()) weights += tensor.numel();
  viz::TranslationReport r;
  r.run = run.recipe.name;
  r.model = model_name(run.config), r.model_detail = grouped(weights) + " weights";
  r.data = sources.data.empty() ? "sentences of the command line" : sources.data;
  r.data_detail = grouped(static_cast<long long>(translations.size())) + " sentences" +
                  (sources.split.empty() ? "" : ", " + sources.split + ", taken evenly");
  r.trained = std::to_string(run.history.size()) + " epochs";
  r.seed = static_cast<std::int64_t>(run.recipe.train.seed);
  r.translations = std::move(translations);
  return r;
}

void print_document(Output& out, const train::TranslationRun& run,
                    const std::vector<Explained>& all, bool several) {
  std::vector<std::string> documents;
  for (const auto& [t, e] : all)
    documents.push_back(explain::to_json(
        e, {t.text, t.score, t.source_tokens, t.target_tokens, t.alignment}, run.path));
  print_explanations(out, run.path, documents, several);
}

}  // namespace

int explain_translations(Output& out, const ExplainOptions& o) {
  const train::TranslationRun run = train::load_translation(o.words.front());
  const Sources sources = sources_of(o, run);
  check_pictures(o, sources.texts.size());
  const std::vector<Explained> all = explain_all(run, sources);
  std::vector<viz::Translation> translations;
  for (std::size_t i = 0; i < all.size(); ++i)
    translations.push_back(drawn(all[i], sources.ids[i], sources.references[i]));
  write_pictures(o, translations, [&] { return report_of(run, sources, translations); });
  if (out.json()) {
    print_document(out, run, all, o.words.size() == 1 || all.size() > 1);
    return 0;
  }
  print_pictures(out, o, translations);
  return 0;
}

}  // namespace attend::cli
