// Writes the pages that translation_page_test.py opens: make_translations FOLDER. Every text and number is invented; the only
// purpose is to reach each state of the page.
#include <cmath>
#include <iostream>
#include <sstream>

#include "attend/base/file.h"
#include "attend/viz/translation.h"

namespace {

using namespace attend;

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

/// Output word t looks at source word `at[t]` with the weight `sharp`, the rest is shared; it needs the word `needs[t]`.
viz::Translation translation(std::int64_t id, const std::string& source, const std::string& target,
                             const std::vector<std::size_t>& at,
                             const std::vector<std::size_t>& needs, double sharp,
                             viz::Verdict verdict, double tau) {
  viz::Translation t;
  t.id = id, t.source = split(source), t.target = split(target);
  t.text = target.substr(0, target.rfind(" </s>")), t.score = -.37;
  const std::size_t n = t.source.size();
  t.attention.assign(n, 0), t.leave_one_out.assign(n, 0);
  for (std::size_t i = 0; i < t.target.size(); ++i) {
    std::vector<double> w(n), effect(n);
    for (std::size_t s = 0; s < n; ++s) {
      const double rest = n > 1 ? (1 - sharp) / static_cast<double>(n - 1) : 0;
      w[s] = s == at[i] ? (n > 1 ? sharp : 1) : rest;
      effect[s] = n == 1          ? viz::kMissing
                  : s == needs[i] ? 2.5 + .1 * static_cast<double>(i)
                                  : .02 * static_cast<double>((s + i) % 3) - .02;
      t.attention[s] += w[s], t.leave_one_out[s] += effect[s];
    }
    t.same_token += n > 1 && at[i] == needs[i], t.compared += n > 1;
    t.weights.push_back(w), t.effects.push_back(effect);
    if (i + 1 < t.target.size())
      t.alignment.emplace_back(static_cast<std::int64_t>(at[i]), static_cast<std::int64_t>(i));
  }
  t.verdict = verdict;
  if (verdict >= viz::Verdict::kDisagree) t.attention_leave_one_out = {tau, .002, -.24, .25};
  return t;
}

viz::Translation numbers(std::int64_t id) {
  auto t = translation(id, "three hundred and forty five thousand", "3 4 5 0 0 0 </s>",
                       {0, 3, 4, 5, 5, 5, 5}, {0, 3, 4, 5, 5, 5, 5}, .88, viz::Verdict::kWell, .71);
  t.reference = "3 4 5 0 0 0";
  return t;
}

viz::Translation disagreeing(std::int64_t id) {
  auto t = translation(id, "A man in a red shirt is riding a small bicycle .",
                       "Ein Mann in einem roten Hemd fährt Fahrrad . </s>",
                       {11, 11, 11, 11, 11, 11, 11, 11, 11, 11}, {0, 1, 2, 3, 4, 5, 7, 10, 11, 11},
                       .7, viz::Verdict::kDisagree, -.31);
  t.reference = "Ein Mann in einem roten Hemd fährt ein kleines Fahrrad .";
  return t;
}

viz::Translation longer(std::int64_t id, std::size_t n) {
  std::string source, target;
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < n; ++i) {
    source += "word" + std::to_string(i) + " ", target += "Wort" + std::to_string(i) + " ";
    at.push_back(i);
  }
  return translation(id, source, target, at, at, .6, viz::Verdict::kInPart, .4);
}

viz::TranslationReport frame(std::vector<viz::Translation> translations) {
  viz::TranslationReport r;
  r.run = "translation/bahdanau", r.model = "Bahdanau 64", r.model_detail = "52,000 weights";
  r.data = "number-words", r.data_detail = "test", r.trained = "20 epochs";
  r.sample = true, r.seed = 1;
  r.translations = std::move(translations);
  return r;
}

std::vector<viz::Translation> usual() {
  return {numbers(1),
          disagreeing(2),
          translation(3, "one two three four five", "1 2 3 4 5 </s>", {0, 1, 2, 3, 4, 4},
                      {0, 1, 2, 3, 4, 4}, .2, viz::Verdict::kAllEqual, 0),
          translation(4, "seven", "7 </s>", {0, 0}, {0, 0}, 1, viz::Verdict::kOneWord, 0),
          translation(5, "seven hundred two", "7 0 2 </s>", {0, 1, 2, 2}, {0, 1, 2, 1}, .9,
                      viz::Verdict::kFewWords, 0),
          longer(6, 45)};
}

viz::TranslationReport without_attention() {
  auto t = numbers(1);
  t.weights.clear(), t.attention.clear(), t.alignment.clear();
  t.same_token = t.compared = 0, t.attention_leave_one_out = {};
  t.verdict = viz::Verdict::kNoAttention;
  auto r = frame({t});
  r.sample = false;
  return r;
}

viz::TranslationReport hostile() {
  auto t = numbers(1);
  t.source = {"</script><img src=x onerror=alert(1)>",
              "=HYPERLINK(1)",
              "\x1b[31mred",
              "\xff\xfe",
              "\u202eevil",
              "a&b\"'<b>"};
  t.target[0] = "<b>run</b>", t.target[1] = "+1", t.target[2] = "\xe2\x82";
  t.text = "<img src=x onerror=alert(2)>", t.reference = "</script><script>alert(3)</script>";
  auto r = frame({t});
  r.run = "<b>run</b> & \"name\"";
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: make_translations FOLDER\n", 2;
  const std::string folder = std::string(argv[1]) + "/";
  const auto page = [&](const char* name, const viz::TranslationReport& report) {
    write_file_atomically(folder + name + ".html", viz::html(report));
  };
  page("usual", frame(usual()));
  page("no-attention", without_attention());
  page("hostile", hostile());
  page("huge", frame({longer(1, 120)}));
  page("empty", frame({}));
  for (const auto& t : {numbers(1), disagreeing(2)}) {
    write_file_atomically(folder + "translation" + std::to_string(t.id) + ".svg", viz::svg(t));
    for (const auto colour : {viz::Colour::kNone, viz::Colour::kTrue, viz::Colour::k256})
      std::cout << viz::terminal(t, {colour, true, 100, 8}) << "\n";
  }
  return 0;
}
