#include "viz/json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "viz/json_parts.h"

namespace attend::viz {

Json number(double x) {
  if (!std::isfinite(x)) return nullptr;
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.6g", x);
  return std::strtod(digits, nullptr);
}

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

Json agreement_json(const Agreement& a) {
  if (std::isnan(a.tau)) return nullptr;
  return {{"tau", number(a.tau)},
          {"chance", number(a.chance)},
          {"band", {number(a.band_low), number(a.band_high)}}};
}

std::string in_script(const Json& page) {
  const std::string raw = page.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  out.reserve(raw.size() + raw.size() / 16);
  for (const char c : raw) {
    if (c == '<')
      out += "\\u003c";
    else
      out.push_back(c);
  }
  return out;
}

namespace {

Json interval(const Interval& i) {
  if (std::isnan(i.value)) return nullptr;
  return {number(i.value), number(i.low), number(i.high)};
}

constexpr std::size_t kMostWeights = 1'000'000;  // of heads, in a page; six bytes each

/// Head −1: the mean over the heads of a layer.
std::vector<AttentionMap> means_of_layers(const std::vector<AttentionMap>& maps) {
  std::vector<AttentionMap> out;
  std::vector<double> heads;
  for (const AttentionMap& map : maps) {
    if (out.empty() || out.back().layer != map.layer) {
      out.push_back({map.layer, -1, map.weights}), heads.push_back(1);
      continue;
    }
    heads.back() += 1;
    for (std::size_t t = 0; t < map.weights.size(); ++t)
      for (std::size_t s = 0; s < map.weights[t].size(); ++s)
        out.back().weights[t][s] += (map.weights[t][s] - out.back().weights[t][s]) / heads.back();
  }
  return out;
}

Json thousandths(const std::vector<std::vector<double>>& rows) {
  Json a = Json::array();
  for (const auto& row : rows) {
    Json values = Json::array();
    for (const double x : row)
      values.push_back(std::isnan(x) ? Json(nullptr) : number(std::round(1000 * x) / 1000));
    a.push_back(std::move(values));
  }
  return a;
}

class ItemWriter {
 public:
  ItemWriter(const SentimentReport& report, const Sentence& sentence) : r_(report), s_(sentence) {}

  Json item() const {
    Json words = Json::array(), seen = Json::array(), deciding = Json::array();
    for (std::size_t i = 0; i < s_.words.size(); ++i) {
      words.push_back(s_.words[i].text);
      seen.push_back(name_of(s_.words[i].state));
      if (s_.words[i].deciding) deciding.push_back(i);
    }
    const VerdictText text = verdict_text(s_);
    return {{"id", s_.id},
            {"input", words},
            {"seen", seen},
            {"deciding", deciding},
            {"output", {{"label", label(s_.predicted)}, {"probability", number(s_.probability)}}},
            {"truth", s_.label < 0 ? Json(nullptr) : label(s_.label)},
            {"attention", attention(words)},
            {"maps", maps()},
            {"attribution", attribution()},
            {"what_if", what_if()},
            {"seeds", seeds()},
            {"agreement",
             {{"attention_leave_one_out", agreement_json(s_.attention_leave_one_out)},
              {"attention_gradient", agreement_json(s_.attention_gradient)},
              {"leave_one_out_gradient", agreement_json(s_.leave_one_out_gradient)}}},
            {"verdict", {{"name", name_of(s_.verdict)}, {"lead", text.lead}, {"why", text.why}}},
            {"others", others()}};
  }

 private:
  Json label(std::int64_t i) const { return r_.label_names[static_cast<std::size_t>(i)]; }

  Json attention(const Json& words) const {
    if (s_.attention.empty()) return Json::array();
    return Json::array({{{"name", "pool"},
                         {"layer", 0},
                         {"head", 0},
                         {"query", {"sentence"}},
                         {"key", words},
                         {"weights", Json::array({numbers(s_.attention)})},
                         {"on_padding", number(s_.attention_on_padding)},
                         {"padding", s_.padding}}});
  }

  /// Self-attention; of many heads of long sentences the mean of each layer, so that a page stays one that a browser opens.
  Json maps() const {
    Json a = Json::array();
    for (const AttentionMap& map :
         r_.sentences.size() * s_.maps.size() * s_.words.size() * s_.words.size() <= kMostWeights
             ? s_.maps
             : means_of_layers(s_.maps))
      a.push_back({{"layer", map.layer},
                   {"head", map.head < 0 ? Json(nullptr) : Json(map.head)},
                   {"weights", thousandths(map.weights)}});
    return a;
  }

  Json attribution()
      const {  // an array with nulls where there is nothing, so that the page can index it
    const std::vector<double> none(s_.words.size(), kMissing);
    return {{"leave_one_out", numbers(s_.leave_one_out.empty() ? none : s_.leave_one_out)},
            {"gradient_x_input", numbers(s_.gradient_x_input)},
            {"rollout", nullptr}};
  }

  Json what_if() const {
    Json a = Json::array();
    for (std::size_t i = 0; i < s_.words.size(); ++i) {
      const bool known = i < s_.what_if.size() && !std::isnan(s_.what_if[i]);
      a.push_back(known ? Json{{"probability", number(s_.what_if[i])},
                               {"label", label(s_.what_if_label[i])}}
                        : Json(nullptr));
    }
    return a;
  }

  Json seeds() const {
    if (s_.attention_low.empty()) return nullptr;
    return {{"low", numbers(s_.attention_low)},
            {"high", numbers(s_.attention_high)},
            {"tau", number(s_.seed_agreement)}};
  }

  Json others() const {
    Json a = Json::array();
    for (const auto& o : s_.others)
      a.push_back({{"model", o.model},
                   {"label", label(o.predicted)},
                   {"probability", number(o.probability)}});
    return a;
  }

  const SentimentReport& r_;
  const Sentence& s_;
};

Json run(const SentimentReport& r) {
  Json out = run_head(r);
  out["seeds"] = r.seeds;
  out["test_size"] = r.test_size;
  out["accuracy"] = interval(r.accuracy);
  out["uniform_accuracy"] = interval(r.uniform_accuracy);
  out["majority"] = number(r.majority);
  out["median_tau"] = number(r.median_tau);
  out["median_seed_agreement"] = number(r.median_seed_agreement);
  out["attention_on_padding"] = number(r.mean_attention_on_padding);
  out["labels"] = r.label_names;
  return out;
}

Json comparison(const SentimentReport& r) {
  if (r.models.size() < 2) return nullptr;
  const ComparisonText text = comparison_text(r);
  Json models = Json::array();
  for (const auto& m : r.models) {
    double mean = 0, square = 0;
    const auto n = static_cast<double>(m.accuracies.size());
    for (const double a : m.accuracies) mean += a / n;
    for (const double a : m.accuracies) square += (a - mean) * (a - mean);
    models.push_back({{"name", m.name},
                      {"about", m.about},
                      {"accuracies", m.accuracies.empty() ? Json::array() : numbers(m.accuracies)},
                      {"mean", number(mean)},
                      {"sd", number(n > 1 ? std::sqrt(square / (n - 1)) : kMissing)}});
  }
  return {{"title", text.title},
          {"lead", text.lead},
          {"why", text.why},
          {"difference", interval(r.difference)},
          {"models", models}};
}

Json warning(const SentimentReport& r) {
  const VerdictText text = overall_text(r);
  if (text.lead.empty()) return nullptr;
  return {{"lead", text.lead}, {"why", text.why}};
}

// A sentence for each measure that no shown sentence has: what is missing, why, and how to get it.
Json missing(const SentimentReport& r) {
  bool attention = false, maps = false, loo = false, gradient = false, range = false;
  for (const auto& s : r.sentences) {
    attention |= !s.attention.empty();
    maps |= !s.maps.empty();
    loo |= !s.leave_one_out.empty();
    gradient |= !s.gradient_x_input.empty();
    range |= !s.attention_low.empty();
  }
  Json a = Json::array();
  if (!attention && maps)
    a.push_back(
        "A weight for each word is missing: what its words look at in every layer and head is "
        "drawn "
        "below, and none of that is what the answer was made of.");
  if (!attention && !maps)
    a.push_back(
        "Attention is missing: this model has none. Train a recipe with attention to see where it "
        "looks.");
  if (attention && !range)
    a.push_back(
        "The range over seeds is missing: one run was given. Train with --seeds to see it.");
  if (!loo)
    a.push_back(
        "Leave-one-out is missing: it was not measured. Run attend explain on this run to measure "
        "it.");
  if (!gradient)
    a.push_back(
        "Gradient × input is missing: this file was written without gradients. The other columns "
        "are complete.");
  return a;
}

}  // namespace

const char* name_of(WordState state) {
  switch (state) {
    case WordState::kSeen:
      return "seen";
    case WordState::kUnknown:
      return "unknown";
    case WordState::kDropped:
      return "dropped";
    default:
      return "cut";
  }
}

const char* name_of(Verdict verdict) {
  static const char* const kNames[] = {"no_attention", "one_word",  "all_equal",
                                       "few_words",    "no_effect", "disagree",
                                       "weak",         "in_part",   "well"};
  return kNames[static_cast<int>(verdict)];
}

std::string page_data(const SentimentReport& report) {
  Json items = Json::array();
  for (const auto& s : report.sentences) items.push_back(ItemWriter(report, s).item());
  const Json page = {{"schema", "attend.explain/1"},
                     {"sample", report.sample},
                     {"run", run(report)},
                     {"comparison", comparison(report)},
                     {"warning", warning(report)},
                     {"missing", missing(report)},
                     {"items", items}};
  return in_script(page);
}

}  // namespace attend::viz
