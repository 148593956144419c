#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "attend/explain/agreement.h"
#include "attend/models/translator.h"

/// Which source tokens a translator looked at for each target token, and which ones it needed.
namespace attend::explain {

/// Rows are target tokens, columns source tokens; NaN or empty where not measured. Attention and effects are compared within each
/// target token: the total over rows of a one-to-one alignment is flat and has no ranks worth comparing.
struct TranslationExplanation : RowComparison {
  std::vector<std::vector<double>> weights;  // attention; empty for a model without
  /// log p(target t | source, targets before t) − the same without source token s, in nats: positive where the token was
  /// needed. NaN for a source of one token, which leaves nothing to read.
  std::vector<std::vector<double>> effects;
  std::vector<double> attention;  // one a source token: its weights summed over target tokens
  std::vector<double>
      leave_one_out;           // one a source token: its effects summed: log p of the whole lost
  double log_probability = 0;  // of all target tokens together, in nats
};

/// Reads `target` (without kBegin; with kEnd where the model wrote it) once with the whole source and once without each of its
/// tokens (deleted, so that the ones behind move up), in batches of 64, given the same target tokens every
/// time. No gradients, no dropout. Throws kUsage for an empty source or target. Cost: S + 1 forced passes of T steps.
TranslationExplanation explain_translation(models::Translator& model,
                                           const std::vector<std::int64_t>& source,
                                           const std::vector<std::int64_t>& target,
                                           const ShuffleOptions& shuffles = {});

/// A translation's texts, for to_json. One text a token.
struct TranslatedText {
  std::string text;  // the translation as one string
  double score = 0;  // as the search ranks
  std::vector<std::string> source, target;
  std::vector<std::pair<std::int64_t, std::int64_t>> alignment;  // (source, target)
};

/// One JSON document of schema attend.explain/1, without line breaks:
///   "schema", "run", "input": [source tokens]
///   "output"       {"translation", "score", "log_probability", "tokens": [target tokens], "alignment": [[source, target]]}
///   "attention"    [{"name": "cross", "layer": 0, "head": 0, "query": [target tokens], "key": [source tokens], "weights"}],
///                  [] for a model without attention
///   "attribution"  {"leave_one_out": [one a source token], "leave_one_out_by_target": [target][source],
///                   "gradient_x_input": null, "rollout": null}
///   "agreement"    {"attention_leave_one_out": {"tau", "chance", "band"} or null, "same_token", "compared", "verdict"}
/// Numbers that were not measured are null; invalid UTF-8 is replaced by U+FFFD.
std::string to_json(const TranslationExplanation& explanation, const TranslatedText& texts,
                    const std::string& run);

}  // namespace attend::explain
