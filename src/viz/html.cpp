#include <cmath>

#include "attend/base/error.h"
#include "attend/viz/report.h"
#include "viz/assets.h"
#include "viz/json.h"
#include "viz/page.h"
#include "viz/reading_parts.h"

namespace attend::viz {
namespace {

void check_length(const Sentence& s, std::size_t n, const char* what, bool may_be_empty = true) {
  if (n == s.words.size() || (may_be_empty && n == 0)) return;
  fail_usage("attend::viz: sentence " + std::to_string(s.id) + " has " +
             std::to_string(s.words.size()) + " words but " + std::to_string(n) + " values of " +
             what + "; give one a word, or none");
}

void check_label(const SentimentReport& r, const Sentence& s, std::int64_t label,
                 std::int64_t least) {
  if (label >= least && label < static_cast<std::int64_t>(r.label_names.size())) return;
  fail_usage("attend::viz: sentence " + std::to_string(s.id) + " has label " +
             std::to_string(label) + " but there are " + std::to_string(r.label_names.size()) +
             " label names");
}

void check(const SentimentReport& r) {
  for (const auto& s : r.sentences) {
    check_length(s, s.attention.size(), "attention");
    check_length(s, s.attention_low.size(), "attention_low");
    check_length(s, s.attention_high.size(), "attention_high");
    check_length(s, s.leave_one_out.size(), "leave_one_out");
    check_length(s, s.what_if.size(), "what_if");
    check_length(s, s.what_if_label.size(), "what_if_label", s.what_if.empty());
    check_length(s, s.gradient_x_input.size(), "gradient_x_input");
    check_maps(s);
    check_label(r, s, s.predicted, 0);
    check_label(r, s, s.label, -1);
    for (const auto& o : s.others) check_label(r, s, o.predicted, 0);
    for (std::size_t i = 0; i < s.what_if.size(); ++i)
      if (!std::isnan(s.what_if[i])) check_label(r, s, s.what_if_label[i], 0);
  }
}

}  // namespace

void check_maps(const Sentence& s) {
  const std::size_t n = s.words.size();
  for (const AttentionMap& map : s.maps) {
    bool is_square = map.weights.size() == n;
    for (const auto& row : map.weights) is_square = is_square && row.size() == n;
    if (!is_square)
      fail_usage("attend::viz: sentence " + std::to_string(s.id) +
                 " has self-attention of another shape than its " + std::to_string(n) +
                 " words; give a row and a column for each");
  }
}

namespace {

constexpr char kBody[] =
    R"(<section id="compare" class="compare" aria-labelledby="h-compare" hidden></section>
<div id="warning"></div>
<div class="split">
<section id="left" aria-labelledby="h-list">
<h2 id="h-list">Sentences</h2>
<div class="controls" id="controls"></div>
<div class="legend" id="legend"></div>
<p class="micro" id="count" aria-live="polite"></p>
<div id="list" role="listbox" aria-labelledby="h-list"></div>
</section>
<section id="panel" aria-labelledby="h-panel"></section>
</div>
</main>
<footer>
<p>Keys: <kbd>Tab</kbd> moves between figures, arrow keys move inside one, <kbd>Home</kbd> and <kbd>End</kbd> jump, <kbd>Enter</kbd> holds a word, <kbd>Esc</kbd> lets it go. The address holds the view: copy it to share what you see. Nothing on this page is loaded from elsewhere.</p>
</footer>
)";

}  // namespace

std::string html(const SentimentReport& report) {
  check(report);
  bool looked = report.sentences.empty();
  for (const auto& s : report.sentences) looked |= !s.attention.empty() || !s.maps.empty();
  Page page;
  page.run = report.run;
  page.heading = looked ? "Where the model looked, and what changed its answer"
                        : "What changed the model’s answer";
  page.style = kSentimentStyle, page.script = kSentimentScript;
  page.body = kBody, page.data = page_data(report), page.sample = report.sample;
  return written(page);
}

}  // namespace attend::viz
