#include "viz/assets.h"
#include "viz/json.h"
#include "viz/json_parts.h"
#include "viz/page.h"
#include "viz/reading_parts.h"

namespace attend::viz {
namespace {

Json reading_item(const Reading& r) {
  const VerdictText text = verdict_text(r);
  Json attention = Json::array();
  for (const AttentionMap& map : r.maps)
    attention.push_back({{"name", "self"},
                         {"layer", map.layer},
                         {"head", map.head},
                         {"query", r.tokens},
                         {"key", r.tokens},
                         {"weights", matrix(map.weights)}});
  const std::vector<double> none(r.tokens.size(), kMissing);
  return {{"id", r.id},
          {"characters", r.characters},
          {"cut", r.cut},
          {"input", r.tokens},
          {"output",
           {{"log_probability", numbers(r.log_probabilities)},
            {"guess", r.guesses},
            {"guess_log_probability", numbers(r.guess_log_probabilities)}}},
          {"attention", attention},
          {"attribution",
           {{"leave_one_out", numbers(r.leave_one_out.empty() ? none : r.leave_one_out)},
            {"leave_one_out_by_token", matrix(r.effects)},
            {"gradient_x_input", nullptr},
            {"rollout", nullptr}}},
          {"agreement",
           {{"attention_leave_one_out", agreement_json(r.attention_leave_one_out)},
            {"same_token", r.same_token},
            {"compared", r.compared},
            {"verdict", name_of(r.verdict)}}},
          {"verdict", {{"name", name_of(r.verdict)}, {"lead", text.lead}, {"why", text.why}}}};
}

constexpr char kReadingBody[] = R"(<div class="controls" id="controls"></div>
<section id="reading" aria-labelledby="h-text"></section>
<p class="readout" id="readout" aria-live="polite"></p>
<div class="two">
<section id="looked" aria-labelledby="h-matrix"></section>
<section id="needed" aria-labelledby="h-needed"></section>
</div>
<section id="lines" aria-labelledby="h-lines"></section>
</main>
<footer>
<p>Keys: <kbd>Tab</kbd> moves between figures, arrow keys move inside one, <kbd>Home</kbd> and <kbd>End</kbd> jump, <kbd>Esc</kbd> lets the chosen token go. The address holds the view: copy it to share what you see. Nothing on this page is loaded from elsewhere.</p>
</footer>
)";

}  // namespace

std::string html(const ReadingReport& r) {
  Json items = Json::array();
  bool looked = r.readings.empty();
  for (const Reading& reading : r.readings) {
    check_reading(reading);
    looked |= !reading.maps.empty();
    items.push_back(reading_item(reading));
  }
  Page page;
  page.run = r.run;
  page.heading = looked ? "What the model looked back on at each token, and what its guess needed"
                        : "Which earlier tokens each guess needed";
  page.style = kReadingStyle, page.script = kReadingScript;
  page.body = kReadingBody, page.sample = r.sample;
  page.data = report_data(r, items);
  return written(page);
}

}  // namespace attend::viz
