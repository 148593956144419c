#include "attend/explain/translation.h"
#include "explain/json_parts.h"

namespace attend::explain {

std::string to_json(const TranslationExplanation& e, const TranslatedText& texts,
                    const std::string& run) {
  Json out = {{"schema", "attend.explain/1"}, {"run", run}};
  out["input"] = texts.source;
  out["output"] = {{"translation", texts.text},
                   {"score", number(texts.score)},
                   {"log_probability", number(e.log_probability)}};
  out["output"]["tokens"] = texts.target;
  out["output"]["alignment"] = Json::array();
  for (const auto& [s, t] : texts.alignment)
    out["output"]["alignment"].push_back(Json::array({s, t}));
  out["attention"] = Json::array();
  if (!e.weights.empty()) {
    Json map = {{"name", "cross"}, {"layer", 0}, {"head", 0}};
    map["query"] = texts.target;
    map["key"] = texts.source;
    map["weights"] = matrix(e.weights);
    out["attention"].push_back(std::move(map));
  }
  out["attribution"]["leave_one_out"] = numbers(e.leave_one_out);
  out["attribution"]["leave_one_out_by_target"] = matrix(e.effects);
  out["attribution"]["gradient_x_input"] = nullptr;
  out["attribution"]["rollout"] = nullptr;
  out["agreement"] = comparison_json(e);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace attend::explain
