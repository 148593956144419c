#include "attend/viz/caption.h"
#include "viz/assets.h"
#include "viz/caption_parts.h"
#include "viz/json_parts.h"
#include "viz/markup.h"
#include "viz/page.h"

namespace attend::viz {
namespace {

Json box_json(const std::optional<PixelBox>& box) {
  if (!box) return nullptr;
  return {box->left, box->top, box->width, box->height};
}

Json item(const CaptionPicture& c) {
  const VerdictText text = verdict_text(c);
  Json words = Json::array(), weights = Json::array(), boxes = Json::array();
  std::vector<double> probability, gate;
  for (const CaptionWord& word : c.words) {
    words.push_back(word.text), weights.push_back(numbers(word.map));
    boxes.push_back(box_json(word.box));
    probability.push_back(word.probability), gate.push_back(word.gate);
  }
  const std::string side = std::to_string(c.side);
  return {{"id", c.id},
          {"input",
           {{"image", c.name},
            {"size", {c.width, c.height}},
            {"png", "data:image/png;base64," + base64(c.png)}}},
          {"output", {{"caption", c.text}, {"score", number(c.score)}, {"tokens", words}}},
          {"reference", c.references},
          {"probability", numbers(probability)},
          {"gate", numbers(gate)},
          {"attention",
           {{{"name", "image"},
             {"layer", 0},
             {"head", 0},
             {"query", words},
             {"key", side + " × " + side + " places, row by row"},
             {"side", c.side},
             {"weights", weights}}}},
          {"boxes", boxes},
          {"spread", number(c.spread)},
          {"verdict",
           {{"name", c.words.size() < 2 ? "one_word"
                     : maps_alike(c)    ? "maps_alike"
                                        : "maps_differ"},
            {"lead", text.lead},
            {"why", text.why}}}};
}

constexpr char kCaptionBody[] = R"(<div class="controls" id="controls"></div>
<div class="two">
<section aria-labelledby="h-image"><div class="fig-head"><h2 id="h-image">The image, word by word</h2><span id="save-image"></span></div>
<p class="words" id="words" role="listbox" aria-labelledby="h-image"></p>
<p class="readout" id="readout" aria-live="polite"></p>
<figure id="big" data-name="image overlay"></figure>
<div id="said"></div></section>
<section aria-labelledby="h-table"><h2 id="h-table">Do the maps differ, and do they point?</h2><div id="verdict"></div><div id="table"></div></section>
</div>
<section aria-labelledby="h-strip"><div class="fig-head"><h2 id="h-strip">All words</h2><span id="save-strip"></span></div><p class="small" id="under"></p><figure id="strip" data-name="film strip"></figure></section>
</main>
<footer>
<p>Keys: <kbd>Tab</kbd> moves between figures, arrow keys move inside one, <kbd>Home</kbd> and <kbd>End</kbd> jump. The address holds the view: copy it to share what you see. Nothing on this page is loaded from elsewhere.</p>
</footer>
)";

}  // namespace

std::string html(const CaptionReport& r) {
  Json items = Json::array();
  for (const CaptionPicture& c : r.captions) {
    check_caption(c);
    items.push_back(item(c));
  }
  Page page;
  page.run = r.run;
  page.heading = "Where the model looked for each word of the caption";
  page.style = kCaptionStyle, page.script = kCaptionScript;
  page.body = kCaptionBody, page.sample = r.sample;
  page.data = report_data(r, items);
  return written(page);
}

}  // namespace attend::viz
