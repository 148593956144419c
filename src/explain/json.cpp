#include "attend/explain/json.h"

#include <cmath>

#include "explain/json_parts.h"

namespace attend::explain {

Json number(double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); }

Json numbers(const std::vector<double>& v) {
  if (v.empty()) return nullptr;
  Json a = Json::array();
  for (const double x : v) a.push_back(number(x));
  return a;
}

Json matrix(const std::vector<std::vector<double>>& rows) {
  Json a = Json::array();
  for (const auto& row : rows) a.push_back(numbers(row));
  return a;
}

Json self_attention_json(const std::vector<SelfAttention>& maps, const Json& tokens) {
  Json out = Json::array();
  for (const SelfAttention& map : maps)
    out.push_back({{"name", "self"},
                   {"layer", map.layer},
                   {"head", map.head},
                   {"query", tokens},
                   {"key", tokens},
                   {"weights", matrix(map.weights)}});
  return out;
}

Json agreement_json(const Agreement& a) {
  if (std::isnan(a.tau)) return nullptr;
  Json out = Json::object();
  out["tau"] = a.tau;
  out["chance"] = number(a.chance);
  out["band"] = Json::array({number(a.band_low), number(a.band_high)});
  return out;
}

namespace {

const char* name_of(Seen seen) {
  switch (seen) {
    case Seen::kSeen:
      return "seen";
    case Seen::kUnknown:
      return "unknown";
    case Seen::kDropped:
      return "dropped";
    default:
      return "cut";
  }
}

Json label(const std::vector<std::string>& names, std::int64_t i) {
  if (i < 0) return nullptr;
  if (i >= static_cast<std::int64_t>(names.size())) return std::to_string(i);
  return names[static_cast<std::size_t>(i)];
}

Json attention(const SentenceExplanation& e, const Json& words) {
  Json maps = self_attention_json(e.self_attention, words);
  if (e.attention.empty() || !e.pools) return maps;
  Json a = {{"name", "pool"}, {"layer", 0}, {"head", 0}};
  a["query"] = Json::array({"sentence"});
  a["key"] = words;
  a["weights"] = Json::array({numbers(e.attention)});
  a["on_padding"] = number(e.attention_on_padding);
  a["padding"] = e.padding;
  a["entropy_bits"] = number(e.entropy);
  maps.insert(maps.begin(), a);
  return maps;
}

}  // namespace

const char* name_of(Verdict verdict) {
  static const char* const kNames[] = {"no_attention", "one_word",  "all_equal",
                                       "few_words",    "no_effect", "disagree",
                                       "weak",         "in_part",   "well"};
  return kNames[static_cast<int>(verdict)];
}

Json comparison_json(const RowComparison& c) {
  return {{"attention_leave_one_out", agreement_json(c.attention_leave_one_out)},
          {"same_token", c.same_token},
          {"compared", c.compared},
          {"verdict", name_of(c.verdict)}};
}

std::string to_json(const SentenceExplanation& e, const std::string& run,
                    const std::vector<std::string>& label_names) {
  Json words = Json::array(), seen = Json::array(), what_if = Json::array();
  for (std::size_t i = 0; i < e.words.size(); ++i) {
    words.push_back(e.words[i].text);
    seen.push_back(name_of(e.seen[i]));
    if (i >= e.what_if.size() || std::isnan(e.what_if[i])) {
      what_if.push_back(nullptr);
      continue;
    }
    Json without = Json::object();
    without["probability"] = e.what_if[i];
    without["label"] = label(label_names, e.what_if_label[i]);
    what_if.push_back(without);
  }
  Json out = {{"schema", "attend.explain/1"}, {"run", run}};
  out["input"] = words;
  out["seen"] = seen;
  out["output"]["label"] = label(label_names, e.predicted);
  out["output"]["probability"] = number(e.probability);
  out["output"]["probabilities"] = numbers(e.probabilities);
  out["truth"] = label(label_names, e.label);
  out["attention"] = attention(e, words);
  out["attribution"]["leave_one_out"] = numbers(e.leave_one_out);
  out["attribution"]["gradient_x_input"] = numbers(e.gradient_x_input);
  out["attribution"]["rollout"] = nullptr;
  out["what_if"] = what_if;
  out["seeds"] = nullptr;
  if (!e.attention_low.empty()) {
    out["seeds"] = Json::object();
    out["seeds"]["low"] = numbers(e.attention_low);
    out["seeds"]["high"] = numbers(e.attention_high);
    out["seeds"]["tau"] = number(e.seed_agreement);
  }
  out["agreement"]["attention_leave_one_out"] = agreement_json(e.attention_leave_one_out);
  out["agreement"]["attention_gradient"] = agreement_json(e.attention_gradient);
  out["agreement"]["leave_one_out_gradient"] = agreement_json(e.leave_one_out_gradient);
  out["agreement"]["verdict"] = name_of(e.verdict);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace attend::explain
