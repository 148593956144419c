// attend explain of a language run: what it looked back on at each token, and what it needed to guess the next.
#include <algorithm>

#include "attend/base/error.h"
#include "attend/explain/language.h"
#include "attend/train/language.h"
#include "attend/viz/reading.h"
#include "explain.h"
#include "output.h"

namespace attend::cli {
namespace {

struct ReadText {
  std::vector<std::string> tokens;
  std::int64_t cut = 0;  // tokens in front that were not read
  explain::LanguageExplanation explanation;
};

void check_language_options(const ExplainOptions& o) {
  if (!o.data.empty() || !o.split.empty() || o.count)
    fail_usage(
        "--data, --split, --count: a language model is explained on texts of the command line");
  for (const auto& [flag, file] : {std::pair{"--html", o.html}, {"--svg", o.svg}, {"--png", o.png}})
    if (!file.empty())
      fail_usage(std::string(flag) +
                 ": a language model is shown in the terminal, and as numbers with --json");
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
  return out;
}

viz::Reading drawn(const train::LanguageRun& run, const ReadText& text) {
  const explain::LanguageExplanation& e = text.explanation;
  const explain::Agreement& a = e.attention_leave_one_out;
  viz::Reading out;
  out.tokens = text.tokens, out.cut = text.cut;
  out.characters = run.codec.unit() == data::TextUnit::kCharacter;
  out.log_probabilities = e.log_probabilities;
  out.weights = e.weights, out.effects = e.effects;
  out.attention_leave_one_out = {a.tau, a.chance, a.band_low, a.band_high};
  out.verdict = static_cast<viz::Verdict>(e.verdict);
  out.same_token = e.same_token, out.compared = e.compared;
  return out;
}

void print_texts(Output& out, const train::LanguageRun& run, const std::vector<ReadText>& texts) {
  std::vector<std::string> documents;
  for (const ReadText& text : texts)
    documents.push_back(explain::to_json(text.explanation, text.tokens, run.path));
  print_explanations(out, run.path, documents, texts.size() > 1);
}

}  // namespace

int explain_texts(Output& out, const ExplainOptions& o) {
  check_language_options(o);
  const train::LanguageRun run = train::load_language(o.words.front());
  std::vector<ReadText> texts;
  for (std::size_t i = 1; i < o.words.size(); ++i) texts.push_back(read_text(run, o.words[i], i));
  if (out.json()) {
    print_texts(out, run, texts);
    return 0;
  }
  for (std::size_t i = 0; i < texts.size(); ++i)
    out.raw((i == 0 ? "" : "\n") + viz::terminal(drawn(run, texts[i]), terminal_options(out)));
  return 0;
}

}  // namespace attend::cli
