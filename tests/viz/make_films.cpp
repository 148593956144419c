// Writes the pages that film_page_test.py opens: a film with windows, one without, one of a single step in colour.
#include <cmath>
#include <string>

#include "attend/base/file.h"
#include "attend/viz/film.h"

namespace {

using attend::viz::Film;
using attend::viz::FilmReport;

Film film(int steps, std::int64_t channels, bool windows) {
  Film f;
  f.height = 28, f.width = 28, f.channels = channels;
  if (windows) f.read_size = 2, f.write_size = 5;
  const auto disc = [&](double radius) {
    std::vector<std::uint8_t> out;
    for (int y = 0; y < 28; ++y)
      for (int x = 0; x < 28; ++x)
        for (std::int64_t c = 0; c < channels; ++c)
          out.push_back(std::hypot(x - 13.5, y - 13.5) < radius ? 255 - 60 * c : 0);
    return out;
  };
  f.image = disc(10), f.reconstruction_nats = 61.25;
  for (int t = 0; t < steps; ++t) {
    attend::viz::FilmStep s;
    s.canvas = disc(10.0 * (t + 1) / steps), s.kl_nats = 2 - 1.5 * t / steps;
    if (windows) {
      s.read = {13.5 + t, 13.5, 12, 3}, s.write = {13.5 - t, 10, 3, 1.2};
      if (channels == 1)  // what lies where is known
        s.read->on_objects = {0.75, 0.5, 0.625}, s.write->on_objects = {0.02 * t, 0.125, 0.25};
    }
    f.kl_nats += s.kl_nats;
    f.steps.push_back(s);
  }
  if (windows && channels == 1)
    f.read_on_objects = {0.75, 0.5, 0.625}, f.write_on_objects = {0.19, 0.125, 0.25};
  return f;
}

void write(const std::string& folder, const std::string& name, Film f) {
  FilmReport r;
  r.run = "generation/<draw>", r.model = "DRAW with attention", r.model_detail = "20 steps";
  r.data = "test:0", r.data_detail = "mnist", r.trained = "60 epochs", r.seed = 1, r.sample = true;
  r.quality = "≤ 88.00 nats", r.quality_detail = "test bound on −log p(x); lower is better";
  r.film = std::move(f);
  attend::write_file_atomically(folder + "/" + name + ".html", attend::viz::html(r));
}

}  // namespace

int main(int, char** argv) {
  write(argv[1], "windows", film(20, 1, true));
  write(argv[1], "whole", film(12, 1, false));
  write(argv[1], "colour", film(1, 3, true));
}
