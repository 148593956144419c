#pragma once
#include <string>
#include <vector>

#include "attend/explain/sentiment.h"

namespace attend::explain {

/// One JSON document of schema attend.explain/1, without line breaks:
///   "schema", "run"    "attend.explain/1" and the run's name
///   "input"            [words];  "seen": for each "seen", "unknown", "dropped" or "cut"
///   "output"           {"label", "probability", "probabilities": one a class};  "truth": label, null
///   "attention"        [{"name": "pool", "layer": 0, "head": 0, "query": ["sentence"], "key": [words],
///                        "weights": [[one a word]], "on_padding", "padding", "entropy_bits"}],
///                      [] for a model without attention
///   "attribution"      {"leave_one_out": […], "gradient_x_input": […] or null, "rollout": null};
///                      rollout is defined for stacked attention only
///   "what_if"          [{"probability", "label"}, or null for a word that was not seen]
///   "seeds"            {"low": […], "high": […], "tau"}, null with one model
///   "agreement"        {"attention_leave_one_out", "attention_gradient", "leave_one_out_gradient":
///                       each {"tau", "chance", "band": [low, high]} or null, "verdict": "well"…}
/// Numbers that were not measured are null. label_names names the classes; invalid UTF-8 is
/// replaced by U+FFFD.
std::string to_json(const SentenceExplanation& explanation, const std::string& run,
                    const std::vector<std::string>& label_names);

/// "no_attention", "one_word", "all_equal", "few_words", "no_effect", "disagree", "weak", "in_part"
/// or "well".
const char* name_of(Verdict verdict);

}  // namespace attend::explain
