// Writes the pages that reading_page_test.py opens: make_readings FOLDER. Every text and number is invented; the only purpose is to
// reach each state of the page.
#include <cmath>
#include <iostream>
#include <sstream>

#include "attend/base/file.h"
#include "attend/viz/reading.h"

namespace {

using namespace attend;

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

std::vector<std::string> letters(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) out.emplace_back(1, c);
  return out;
}

using Matrix = std::vector<std::vector<double>>;

/// Row t looks back on token t − `back` with the weight `sharp`; the rest is shared, a tenth of it fell on the start. An LSTMN
/// can't look at the token that it reads, a Transformer can.
Matrix looks(std::size_t n, std::size_t back, double sharp, bool itself) {
  Matrix out(n, std::vector<double>(n, viz::kMissing));
  for (std::size_t t = 0; t < n; ++t) {
    const std::size_t may = itself ? t + 1 : t;
    for (std::size_t s = 0; s < may; ++s) {
      const bool here = s == (t >= back ? t - back : 0);
      out[t][s] = may == 1 ? .9 : here ? sharp : (.9 - sharp) / static_cast<double>(may - 1);
    }
  }
  return out;
}

/// The guess behind token t needed token t − `back`; the others changed it a little, some for the better.
Matrix needs(std::size_t n, std::size_t back) {
  Matrix out(n, std::vector<double>(n, viz::kMissing));
  for (std::size_t t = 1; t + 1 < n; ++t)
    for (std::size_t s = 0; s <= t; ++s)
      out[t][s] = s == (t >= back ? t - back : 0) ? 1.5 + .1 * static_cast<double>(t)
                                                  : .2 * static_cast<double>((s + t) % 4) - .3;
  return out;
}

void add_sums(viz::Reading& r) {
  r.leave_one_out.assign(r.tokens.size(), viz::kMissing);
  for (const auto& row : r.effects)
    for (std::size_t s = 0; s < row.size(); ++s)
      if (!std::isnan(row[s]))
        r.leave_one_out[s] = (std::isnan(r.leave_one_out[s]) ? 0 : r.leave_one_out[s]) + row[s];
}

viz::Reading reading(std::int64_t id, std::vector<std::string> tokens, std::size_t back,
                     std::size_t needed, viz::Verdict verdict, double tau) {
  viz::Reading r;
  r.id = id, r.tokens = std::move(tokens);
  const std::size_t n = r.tokens.size();
  for (std::size_t t = 0; t < n; ++t) {
    r.log_probabilities.push_back(-.5 - .1 * static_cast<double>(t % 7));
    const bool right = t % 2 == 0 && t + 1 < n;
    r.guesses.push_back(right ? r.tokens[t + 1] : "the");
    r.guess_log_probabilities.push_back(right ? -.5 - .1 * static_cast<double>((t + 1) % 7) : -.25);
  }
  r.maps = {{0, 0, looks(n, back, .6, false)}};
  r.weights = r.maps[0].weights, r.effects = needs(n, needed);
  add_sums(r);
  r.verdict = verdict;
  r.same_token = back == needed && n > 2 ? static_cast<std::int64_t>(n) - 2 : 0;
  r.compared = n > 2 ? static_cast<std::int64_t>(n) - 2 : 0;
  if (verdict >= viz::Verdict::kDisagree) r.attention_leave_one_out = {tau, .002, -.24, .25};
  return r;
}

viz::Reading words(std::int64_t id) {
  return reading(id, split("The FBI is chasing a criminal on the run ."), 1, 1, viz::Verdict::kWell,
                 .71);
}

/// Two layers of two heads that may look at the token being read.
viz::Reading transformer(std::int64_t id) {
  viz::Reading r = words(id);
  const std::size_t n = r.tokens.size();
  r.maps.clear();
  for (std::int64_t layer = 0; layer < 2; ++layer)
    for (std::int64_t head = 0; head < 2; ++head)
      r.maps.push_back(
          {layer, head, looks(n, static_cast<std::size_t>(2 * layer + head), .5, true)});
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t s = 0; s <= t; ++s) {
      r.weights[t][s] = 0;
      for (const viz::AttentionMap& map : r.maps) r.weights[t][s] += map.weights[t][s] / 4;
    }
  return r;
}

viz::Reading equal(std::int64_t id) {
  viz::Reading r =
      reading(id, split("one two three four five six"), 1, 1, viz::Verdict::kAllEqual, 0);
  for (std::size_t t = 0; t < r.tokens.size(); ++t)
    for (std::size_t s = 0; s < t; ++s) r.weights[t][s] = 1 / static_cast<double>(t);
  r.maps[0].weights = r.weights;
  return r;
}

viz::Reading longer(std::int64_t id, std::size_t n) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < n; ++i) tokens.push_back("word" + std::to_string(i));
  return reading(id, std::move(tokens), 2, 2, viz::Verdict::kInPart, .4);
}

viz::Reading characters(std::int64_t id) {
  viz::Reading r =
      reading(id, letters("KING:\nWhat is the matter?\nMy lord"), 1, 1, viz::Verdict::kWeak, .1);
  r.characters = true, r.cut = 12;
  return r;
}

viz::Reading without_attention(std::int64_t id) {
  viz::Reading r = words(id);
  r.maps.clear(), r.weights.clear();
  r.verdict = viz::Verdict::kNoAttention;
  r.same_token = r.compared = 0, r.attention_leave_one_out = {};
  return r;
}

viz::Reading hostile(std::int64_t id) {
  viz::Reading r = words(id);
  r.tokens = {"</script><img src=x onerror=alert(1)>",
              "=HYPERLINK(1)",
              "\x1b[31mred",
              "\xff\xfe",
              "\u202eevil",
              "a&b\"'<b>",
              "+1",
              "<script>alert(2)</script>",
              "__proto__",
              "on"};
  r.guesses[1] = "<img src=x onerror=alert(3)>";
  return r;
}

viz::ReadingReport frame(std::vector<viz::Reading> readings) {
  viz::ReadingReport r;
  r.run = "language/lstmn", r.model = "LSTMN 64", r.model_detail = "52,000 weights";
  r.data = "texts of the command line", r.data_detail = "trained on nothing";
  r.trained = "20 epochs", r.quality = "2.1 bits a character";
  r.sample = true, r.seed = 1;
  r.readings = std::move(readings);
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: make_readings FOLDER\n", 2;
  const std::string folder = std::string(argv[1]) + "/";
  const auto page = [&](const char* name, const viz::ReadingReport& report) {
    write_file_atomically(folder + name + ".html", viz::html(report));
  };
  viz::Reading disagreeing = reading(2, split("The FBI is chasing a criminal on the run ."), 1, 4,
                                     viz::Verdict::kDisagree, -.31);
  const viz::Reading one = reading(4, {"the"}, 1, 1, viz::Verdict::kOneWord, 0);
  page("usual", frame({words(1), disagreeing, equal(3), one,
                       reading(5, split("just three words"), 1, 1, viz::Verdict::kFewWords, 0),
                       longer(6, 60), characters(7)}));
  page("heads", frame({transformer(1)}));
  viz::ReadingReport plain = frame({without_attention(1)});
  plain.sample = false;
  page("no-attention", plain);
  viz::ReadingReport bad = frame({hostile(1)});
  bad.run = "<b>run</b> & \"name\"";
  page("hostile", bad);
  page("huge", frame({longer(1, 120)}));
  page("empty", frame({}));
  std::int64_t number = 0;
  for (const auto& r : {words(1), longer(2, 60), characters(3), without_attention(4)})
    write_file_atomically(folder + "reading" + std::to_string(++number) + ".svg", viz::svg(r));
  return 0;
}
