#include "attend/base/error.h"
#include "attend/viz/translation.h"
#include "viz/assets.h"
#include "viz/json.h"
#include "viz/json_parts.h"
#include "viz/page.h"

namespace attend::viz {
namespace {

void check_matrix(const Translation& t, const std::vector<std::vector<double>>& m,
                  const char* what) {
  bool fits = m.empty() || m.size() == t.target.size();
  for (const auto& row : m) fits &= row.size() == t.source.size();
  if (!fits)
    fail_usage("attend::viz: translation " + std::to_string(t.id) + " has " +
               std::to_string(t.target.size()) + " output and " + std::to_string(t.source.size()) +
               " source tokens but " + what +
               " of another shape; give a row for each output token and a value for each source "
               "token, or none");
}

void check_list(const Translation& t, const std::vector<double>& values, const char* what) {
  if (values.empty() || values.size() == t.source.size()) return;
  fail_usage("attend::viz: translation " + std::to_string(t.id) + " has " +
             std::to_string(t.source.size()) + " source tokens but " +
             std::to_string(values.size()) + " values of " + what +
             "; give one a source token, or none");
}

Json item(const Translation& t) {
  const VerdictText text = verdict_text(t);
  Json attention = Json::array();
  if (!t.weights.empty())
    attention.push_back({{"name", "cross"},
                         {"layer", 0},
                         {"head", 0},
                         {"query", t.target},
                         {"key", t.source},
                         {"weights", matrix(t.weights)}});
  const std::vector<double> none(t.source.size(), kMissing);
  return {{"id", t.id},
          {"input", t.source},
          {"output",
           {{"translation", t.text},
            {"score", number(t.score)},
            {"tokens", t.target},
            {"alignment", t.alignment}}},
          {"reference", t.reference.empty() ? Json(nullptr) : Json(t.reference)},
          {"attention", attention},
          {"attribution",
           {{"leave_one_out", numbers(t.leave_one_out.empty() ? none : t.leave_one_out)},
            {"leave_one_out_by_target", matrix(t.effects)},
            {"gradient_x_input", nullptr},
            {"rollout", nullptr}}},
          {"totals", numbers(t.attention)},
          {"agreement",
           {{"attention_leave_one_out", agreement_json(t.attention_leave_one_out)},
            {"same_token", t.same_token},
            {"compared", t.compared}}},
          {"verdict", {{"name", name_of(t.verdict)}, {"lead", text.lead}, {"why", text.why}}}};
}

constexpr char kTranslationBody[] = R"(<section aria-labelledby="h-pair">
<div class="controls" id="controls"></div>
<h2 id="h-pair" class="vh">Sentence pair</h2>
<div id="pair"></div>
</section>
<div class="two">
<section id="looked" aria-labelledby="h-matrix"></section>
<section id="needed" aria-labelledby="h-needed"></section>
</div>
</main>
<footer>
<p>Keys: <kbd>Tab</kbd> moves between figures, arrow keys move inside one, <kbd>Home</kbd> and <kbd>End</kbd> jump, <kbd>Esc</kbd> clears a highlight. The address holds the view: copy it to share what you see. Nothing on this page is loaded from elsewhere.</p>
</footer>
)";

}  // namespace

std::string html(const TranslationReport& r) {
  Json items = Json::array();
  bool looked = r.translations.empty();
  for (const Translation& t : r.translations) {
    check_matrix(t, t.weights, "weights");
    check_matrix(t, t.effects, "effects");
    check_list(t, t.attention, "attention");
    check_list(t, t.leave_one_out, "leave_one_out");
    looked |= !t.weights.empty();
    items.push_back(item(t));
  }
  Page page;
  page.run = r.run;
  page.heading = looked ? "Which source word each output word looked at, and which it needed"
                        : "Which source words the output needed";
  page.style = kTranslationStyle, page.script = kTranslationScript;
  page.body = kTranslationBody, page.sample = r.sample;
  page.data = report_data(r, items);
  return written(page);
}

}  // namespace attend::viz
