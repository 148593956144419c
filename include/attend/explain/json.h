#pragma once
#include <string>
#include <vector>

#include "attend/explain/sentiment.h"

namespace attend::explain {

/// One JSON document of schema attend.explain/1, without line breaks:
/// {"schema","run","input":[words],"seen":["seen"|"unknown"|"dropped"|"cut"],"output":{"label","probability","probabilities"},
///  "truth":label or
///  null,"attention":[{"name":"pool","layer":0,"head":0,"query":["sentence"],"key":[words],"weights":[[…]],
///  "on_padding","padding","entropy_bits"}],"attribution":{"leave_one_out":[…],"gradient_x_input":[…]
///  or null,"rollout":null}, "what_if":[{"probability","label"} or
///  null],"seeds":{"low","high","tau"} or null,
///  "agreement":{"attention_leave_one_out":{"tau","chance","band":[low,high]} or
///  null,…,"verdict":"well"|…}}
/// Numbers that were not measured are null. "attention" is [] for a model without attention.
/// "rollout" is null: it is defined for stacked attention only. label_names names the classes;
/// invalid UTF-8 is replaced by U+FFFD.
std::string to_json(const SentenceExplanation& explanation, const std::string& run,
                    const std::vector<std::string>& label_names);

/// "no_attention", "one_word", "all_equal", "few_words", "no_effect", "disagree", "weak", "in_part"
/// or "well".
const char* name_of(Verdict verdict);

}  // namespace attend::explain
