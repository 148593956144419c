#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attend/viz/report.h"

/// What the data of every page are made of; null for what was not measured, six significant digits.
namespace attend::viz {

using Json = nlohmann::ordered_json;

Json number(double x);
Json numbers(const std::vector<double>& v);  // an empty list is null
Json matrix(const std::vector<std::vector<double>>& rows);
Json agreement_json(const Agreement& a);
/// The text of a document with every `<` written \u003c, so that nothing in it can end a script element.
std::string in_script(const Json& page);

/// What every report says of its run.
template <class Report>
Json run_head(const Report& r) {
  return {{"name", r.run},
          {"model", r.model},
          {"model_detail", r.model_detail},
          {"data", r.data},
          {"data_detail", r.data_detail},
          {"trained", r.trained},
          {"seed", r.seed}};
}

/// The object that a page draws: the head that every report has, and its items in schema attend.explain/1.
template <class Report>
std::string report_data(const Report& r, const Json& items) {
  Json run = run_head(r);
  run["quality"] = r.quality;
  run["quality_detail"] = r.quality_detail;
  return in_script(
      {{"schema", "attend.explain/1"}, {"sample", r.sample}, {"run", run}, {"items", items}});
}

}  // namespace attend::viz
