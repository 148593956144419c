// attend explain of a language run: what it looked back on at each token, and what it needed to guess the next.
#include <algorithm>

#include "attend/base/error.h"
#include "attend/explain/language.h"
#include "attend/train/language.h"
#include "attend/viz/reading.h"
#include "explain.h"
#include "output.h"
#include "pictures.h"

namespace attend::cli {
namespace {

struct ReadText : explain::LanguageText {
  std::int64_t cut = 0;  // tokens in front that were not read
  explain::LanguageExplanation explanation;
};

void check_language_options(const ExplainOptions& o) {
  if (!o.data.empty() || !o.split.empty() || o.count)
    fail_usage(
        "--data, --split, --count: a language model is explained on texts of the command line");
  check_pictures(o, o.words.size() - 1);
}

ReadText read_text(const train::LanguageRun& run, const std::string& text, std::size_t number) {
  check_sentence(text, number);
  std::vector<std::int64_t> ids = run.codec.encode(text);
  if (ids.empty()) fail_input("sentence " + std::to_string(number) + " holds no token to read");
  const auto most = static_cast<std::size_t>(run.config.max_length - 1);
  ReadText out;
  if (ids.size() > most) {
    out.cut = static_cast<std::int64_t>(ids.size() - most);
    ids.erase(ids.begin(), ids.begin() + out.cut);
  }
  out.tokens = run.codec.words(ids);
  explain::ShuffleOptions shuffles;
  shuffles.index = number;
  out.explanation = explain::explain_language(*run.model, ids, shuffles);
  out.guesses = run.codec.words(out.explanation.guesses);
  return out;
}

viz::Reading drawn(const train::LanguageRun& run, const ReadText& text, std::size_t number) {
  const explain::LanguageExplanation& e = text.explanation;
  const explain::Agreement& a = e.attention_leave_one_out;
  viz::Reading out;
  out.id = static_cast<std::int64_t>(number);
  out.tokens = text.tokens, out.guesses = text.guesses, out.cut = text.cut;
  out.characters = run.codec.unit() == data::TextUnit::kCharacter;
  out.log_probabilities = e.log_probabilities;
  out.guess_log_probabilities = e.guess_log_probabilities;
  for (const explain::SelfAttention& map : e.maps)
    out.maps.push_back({map.layer, map.head, map.weights});
  out.weights = e.weights, out.effects = e.effects, out.leave_one_out = e.leave_one_out;
  out.attention_leave_one_out = {a.tau, a.chance, a.band_low, a.band_high};
  out.verdict = static_cast<viz::Verdict>(e.verdict);
  out.same_token = e.same_token, out.compared = e.compared;
  return out;
}

std::string model_name(const models::LanguageConfig& c) {
  const bool transformer = c.architecture == models::LanguageArchitecture::kTransformer;
  const std::string name = transformer                                             ? "Transformer"
                           : c.architecture == models::LanguageArchitecture::kLstm ? "LSTM"
                                                                                   : "LSTMN";
  return name + " " + std::to_string(transformer ? c.embedding_width : c.hidden) +
         (c.layers > 1 ? " × " + std::to_string(c.layers) : "");
}

viz::ReadingReport report_of(const train::LanguageRun& run, std::vector<viz::Reading> readings) {
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : run.model->parameters()) weights += tensor.numel();
  viz::ReadingReport r;
  r.run = run.recipe.name;
  r.model = model_name(run.config), r.model_detail = grouped(weights) + " weights";
  r.data = "texts of the command line", r.data_detail = "trained on " + run.recipe.data.name;
  r.trained = std::to_string(run.history.size()) + " epochs";
  r.seed = static_cast<std::int64_t>(run.recipe.train.seed);
  const train::Metrics& validation = run.result.validation;
  if (const auto bits = validation.find("bits_per_character"); bits != validation.end()) {
    r.quality = fixed(bits->second, 3) + " bits a character";
    r.quality_detail = "validation, when training ended";
  }
  r.readings = std::move(readings);
  return r;
}

void print_texts(Output& out, const train::LanguageRun& run, const std::vector<ReadText>& texts) {
  std::vector<std::string> documents;
  for (const ReadText& text : texts)
    documents.push_back(explain::to_json(text.explanation, text, run.path));
  print_explanations(out, run.path, documents, texts.size() > 1);
}

}  // namespace

int explain_texts(Output& out, const ExplainOptions& o) {
  check_language_options(o);
  const train::LanguageRun run = train::load_language(o.words.front());
  std::vector<ReadText> texts;
  for (std::size_t i = 1; i < o.words.size(); ++i) texts.push_back(read_text(run, o.words[i], i));
  std::vector<viz::Reading> readings;
  for (std::size_t i = 0; i < texts.size(); ++i) readings.push_back(drawn(run, texts[i], i + 1));
  write_pictures(o, readings, [&] { return report_of(run, readings); });
  if (out.json())
    print_texts(out, run, texts);
  else
    print_pictures(out, o, readings);
  return 0;
}

}  // namespace attend::cli
