#include "attend/base/error.h"
#include "viz/assets.h"
#include "viz/film.h"
#include "viz/json_parts.h"
#include "viz/markup.h"
#include "viz/page.h"

namespace attend::viz {
namespace {

Json objects_json(const FilmOnObjects& on) {
  return {
      {"share", number(on.share)}, {"chance", number(on.chance)}, {"middle", number(on.middle)}};
}

Json window_json(const std::optional<FilmWindow>& w, std::int64_t n) {
  if (!w) return nullptr;
  Json out = {{"x", number(w->x)},
              {"y", number(w->y)},
              {"stride", number(w->stride)},
              {"sigma", number(w->sigma)},
              {"side", number(window_side(*w, n))}};
  if (w->on_objects) out["on_objects"] = objects_json(*w->on_objects);
  return out;
}

std::string bytes_text(const std::vector<std::uint8_t>& bytes) {
  return base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Json film_json(const Film& f) {
  Json steps = Json::array();
  for (const FilmStep& s : f.steps)
    steps.push_back({{"canvas", bytes_text(s.canvas)},
                     {"kl_nats", number(s.kl_nats)},
                     {"read", window_json(s.read, f.read_size)},
                     {"write", window_json(s.write, f.write_size)}});
  Json out = {{"height", f.height},
              {"width", f.width},
              {"channels", f.channels},
              {"read_size", f.read_size},
              {"write_size", f.write_size},
              {"image", bytes_text(f.image)},
              {"output",
               {{"elbo_nats", number(f.reconstruction_nats + f.kl_nats)},
                {"reconstruction_nats", number(f.reconstruction_nats)},
                {"kl_nats", number(f.kl_nats)}}},
              {"steps", steps}};
  if (f.read_on_objects && f.write_on_objects)
    out["on_objects"] = {{"read", objects_json(*f.read_on_objects)},
                         {"write", objects_json(*f.write_on_objects)}};
  return out;
}

constexpr char kFilmBody[] = R"(<section aria-labelledby="h-step">
<div class="fig-head"><h2 id="h-step">One step</h2><span id="save-step"></span></div>
<div class="controls" id="controls"></div>
<div class="step">
<figure id="now" data-name="step"></figure>
<div><p class="readout" id="readout" aria-live="polite"></p><figure id="curve" data-name="information per step"></figure><p class="small" id="sum"></p></div>
</div>
</section>
<section aria-labelledby="h-strip">
<div class="fig-head"><h2 id="h-strip">Every step</h2><span id="save-strip"></span></div>
<div class="legend" id="legend"></div>
<figure id="strip" data-name="film strip"></figure>
</section>
<section><details id="numbers"><summary>Numbers as a table</summary></details></section>
</main>
<footer>
<p>Keys: <kbd>Tab</kbd> moves between figures, arrow keys move inside the strip, <kbd>Home</kbd> and <kbd>End</kbd> jump. The address holds the view: copy it to share what you see. Nothing on this page is loaded from elsewhere.</p>
</footer>
)";

}  // namespace

void check_film(const Film& f) {
  const auto size = static_cast<std::size_t>(f.height * f.width * f.channels);
  bool fits = f.height > 0 && f.width > 0 && (f.channels == 1 || f.channels == 3) &&
              f.image.size() == size && !f.steps.empty();
  for (const FilmStep& s : f.steps) fits &= s.canvas.size() == size;
  if (!fits)
    fail_usage(
        "attend::viz: a film needs an input and at least one canvas, all of height x width x "
        "channels bytes, with 1 channel or 3");
}

std::string html(const FilmReport& r) {
  check_film(r.film);
  Page page;
  page.run = r.run;
  page.heading = "How the picture was painted, step by step";
  page.style = kFilmStyle, page.script = kFilmScript;
  page.body = kFilmBody, page.sample = r.sample;
  page.data = report_data(r, Json::array({film_json(r.film)}));
  return written(page);
}

}  // namespace attend::viz
