#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/explain/agreement.h"
#include "attend/explain/self_attention.h"
#include "attend/models/language_model.h"

/// Which earlier tokens a language model looked back on at each token, and which ones it needed to guess the next.
namespace attend::explain {

/// Matrices are [token read][token looked back on]; NaN or empty where not measured.
struct LanguageExplanation : RowComparison {
  std::vector<SelfAttention> maps;  // none of a model without attention; the rest to 1 is kBegin's
  std::vector<std::vector<double>> weights;  // mean of the maps
  std::vector<double> log_probabilities;     // log p(token t | tokens before t), in nats
  std::vector<std::int64_t>
      guesses;  // the likeliest token behind each, the last one's too; never padding or kBegin
  std::vector<double> guess_log_probabilities;
  /// effects[t][s] = log p(token t + 1 | tokens 0…t) − the same without token s, in nats, s ≤ t: positive where the token was
  /// needed. NaN for the last token, whose next one is not known, and for the first, which leaves nothing but the start to read.
  std::vector<std::vector<double>> effects;
  /// One a token: its effects summed, so by the chain rule log p of what stands behind it lost (but for the second token of the
  /// text, whose effects are not known). NaN where none was measured.
  std::vector<double> leave_one_out;
};

/// An explanation's tokens as texts, for to_json: one a token read, and one a guess.
struct LanguageText {
  std::vector<std::string> tokens, guesses;
};

/// Reads `tokens` behind kBegin once, then for every token t what stands up to t without each one of its tokens (deleted, so that
/// the ones behind it move up), in batches of at most 64. No gradients, no dropout. Throws kUsage unless
/// 1 ≤ tokens < max_length. Cost: n² / 2 rows of up to n tokens.
LanguageExplanation explain_language(models::LanguageModel& model,
                                     const std::vector<std::int64_t>& tokens,
                                     const ShuffleOptions& shuffles = {});

/// One JSON document of schema attend.explain/1, without line breaks:
///   "schema", "run", "input": [tokens]
///   "output"       {"log_probability": [one a token], "guess": [the likeliest token behind each], "guess_log_probability"}
///   "attention"    [{"name": "self", "layer", "head", "query": [tokens], "key": [tokens], "weights"}]
///   "attribution"  {"leave_one_out": [one a token], "leave_one_out_by_token": [token read][token], "gradient_x_input": null,
///                   "rollout": null}
///   "agreement"    {"attention_leave_one_out": {"tau", "chance", "band"} or null, "same_token", "compared", "verdict"}
/// Numbers that were not measured are null; invalid UTF-8 is replaced by U+FFFD.
std::string to_json(const LanguageExplanation& explanation, const LanguageText& text,
                    const std::string& run);

}  // namespace attend::explain
