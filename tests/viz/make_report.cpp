// Writes the pages that report_test.py opens: make_report FOLDER. Every text and number is
// invented; the only purpose is to reach each state of the page.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "attend/base/file.h"
#include "attend/base/random.h"
#include "attend/viz/report.h"
#include "attend/viz/terminal.h"

namespace {

using namespace attend;

// "word:look:effect" tokens; look is a score before the softmax, effect what leaving the word out
// takes from P(predicted). A leading ? marks an unknown word, ! a dropped one, ^ one cut off, * one
// that decides.
viz::Sentence sentence(std::int64_t id, const std::string& text, std::int64_t label,
                       std::int64_t predicted, double p, viz::Verdict verdict, double tau,
                       std::int64_t padding = 0) {
  Random noise(7, Purpose::kGenerate, static_cast<std::uint64_t>(id));
  viz::Sentence s;
  s.id = id, s.label = label, s.predicted = predicted, s.probability = p, s.verdict = verdict,
  s.padding = padding;
  std::istringstream in(text);
  double total = 0;
  for (std::string token; in >> token;) {
    viz::Word w;
    for (; token.size() > 1 && std::string("?!^*").find(token[0]) != std::string::npos;
         token.erase(0, 1)) {
      if (token[0] == '*')
        w.deciding = true;
      else
        w.state = token[0] == '?'   ? viz::WordState::kUnknown
                  : token[0] == '!' ? viz::WordState::kDropped
                                    : viz::WordState::kCut;
    }
    const std::size_t a = token.find(':'), b = a == std::string::npos ? a : token.find(':', a + 1);
    const bool given = b != std::string::npos;
    w.text = given ? token.substr(0, a) : token;
    const double look = given ? std::atof(token.substr(a + 1, b - a - 1).c_str()) : 0,
                 effect = given ? std::atof(token.substr(b + 1).c_str()) : 0;
    const bool read = w.state == viz::WordState::kSeen || w.state == viz::WordState::kUnknown;
    const double flat = verdict == viz::Verdict::kAllEqual ? .02 : .3;
    const double weight = read ? std::exp(look + flat * noise.normal()) : viz::kMissing,
                 small = given ? effect : .008 * noise.normal();
    total += read ? weight : 0;
    s.words.push_back(w);
    s.attention.push_back(weight);
    s.leave_one_out.push_back(read ? small : viz::kMissing);
    s.what_if.push_back(read ? std::clamp(p - small, 0.0, 1.0) : viz::kMissing);
    s.what_if_label.push_back(read && p - small < .5 ? 1 - predicted : predicted);
    s.gradient_x_input.push_back(read ? 2.3 * small + .05 * noise.normal() : viz::kMissing);
  }
  if (padding > 0) total += .3 * total;
  for (auto& w : s.attention) w /= total;
  if (padding > 0) s.attention_on_padding = .3 / 1.3;
  for (const double w : s.attention) {
    s.attention_low.push_back(w * (.65 + .3 * noise.uniform()));
    s.attention_high.push_back(w * (1 + .6 * noise.uniform()));
  }
  s.seed_agreement = .55 + .2 * noise.normal();
  if (!std::isnan(tau)) {
    const double band = 1.5 / std::sqrt(static_cast<double>(s.words.size()));
    s.attention_leave_one_out = {tau, tau > band ? .012 : .31, -band, band};
    s.attention_gradient = {tau * .8, .1, -band, band};
    s.leave_one_out_gradient = {.71, .002, -band, band};
  }
  return s;
}

viz::SentimentReport frame(std::vector<viz::Sentence> sentences) {
  viz::SentimentReport r;
  r.run = "guide/sentiment-lstm-attention";
  r.model = "LSTM 100, attention pooling", r.model_detail = "147,221 weights";
  r.data = "hutto-reviews", r.data_detail = "last 20 %, 742 sentences, not trained on";
  r.trained = "10 epochs";
  r.sample = true;
  r.seed = 1, r.seeds = {1, 2, 3, 4, 5}, r.test_size = 742;
  r.accuracy = {.8127, .783, .839}, r.uniform_accuracy = {.8046, .7745, .8315};
  r.majority = .568, r.median_tau = .21, r.median_seed_agreement = .55;
  r.label_names = {"negative", "positive"};
  r.models = {{"LSTM", "137,069 weights", {.7965, .8019, .8073, .7898, .8006}},
              {"LSTM with attention", "137,201 weights", {.8127, .7951, .8086, .8140, .8059}}};
  r.difference = {.00802, -.0039, .0199};
  r.sentences = std::move(sentences);
  return r;
}

std::vector<viz::Sentence> usual() {
  using V = viz::Verdict;
  const double none = viz::kMissing;
  std::string tale =
      "I bought this kettle after reading every review here and for a month it worked as it should "
      ". ";
  const char* more[] = {"Then the lid broke:1.6:.05 and I called the shop twice . ",
                        "The first answer was friendly:1.3:-.07 and useless:2.2:.21 . ",
                        "The second person asked me to send a photo of the lid , which is "
                        "dangerous:1.9:.09 with boiling water . ",
                        "My neighbour has the same one and hers still works:.9:-.03 . ",
                        "I would not:2.1:.55 buy:.9:.02 it again:.6:.01 . "};
  for (const char* part : more) tale += part;
  for (int i = 0; i < 3; ++i)
    tale +=
        "So I wrote to them once more and waited , and the answer that came was about another lid "
        "of another pot . ";
  std::vector<viz::Sentence> all = {
      sentence(1, "The food:.5:.01 was not:.9:.62 good:2.3:.10 at all:1.5:.06 .", 0, 0, .93,
               V::kWeak, .21),
      sentence(2, "Great:2.4:.31 phone and the battery lasts:1.2:.12 all day .", 1, 1, .98,
               V::kWell, .89),
      sentence(3, "I would not:2.2:.51 recommend:1.8:.22 this to anyone:.9:.05 .", 0, 0, .95,
               V::kWell, .64),
      sentence(4, "The plot is thin:.9:-.12 but:1:.16 the acting is wonderful:2.6:.41 .", 1, 1, .71,
               V::kWell, .82),
      sentence(5, "Not:1:-.35 bad:2.2:.54 for the price .", 1, 0, .78, V::kWell, .73),
      sentence(6, tale, 0, 0, .94, V::kWeak, .16),
      sentence(7, "It broke:2.1:.24 after two days and nobody:1.4:.13 answered my mail .", 0, 0,
               .97, V::kInPart, .45),
      sentence(8, "Terrible:2:.6", 0, 0, .99, V::kOneWord, none),
      sentence(9, "What a surprise:1.9:.02 , the sequel is even:.8:.11 longer:.7:-.17 .", 0, 1, .64,
               V::kDisagree, -.24),
      sentence(10, "Works:1.6:.23 as described:1.2:.08 .", 1, 1, .88, V::kFewWords, none),
      sentence(11, "The sound is clear and the case feels solid .", 1, 1, .90, V::kAllEqual, none),
      sentence(12, "Customer service was rude:2.5:.72 .", 0, 0, .96, V::kNoEffect, none),
      sentence(13, "I wanted to like:2.3:.36 it , I really:1:.1 did .", 0, 1, .81, V::kWell, .78),
      sentence(14, "!Absolutley !luv the sushi:1.4:.1 here:1:.06 , ?mochi was lovely:2:.3 !", 1, 1,
               .66, V::kInPart, .52)};
  all[4].others = {{"LSTM", 1, .58}};
  all[0].others = {{"LSTM", 0, .88}};
  return all;
}

viz::SentimentReport without_attention() {
  auto r = frame(usual());
  r.run = "guide/sentiment-lstm", r.model = "LSTM 100", r.uniform_accuracy = {},
  r.median_tau = r.median_seed_agreement = viz::kMissing;
  for (auto& s : r.sentences) {
    s.attention.clear(), s.attention_low.clear(), s.attention_high.clear();
    s.verdict = viz::Verdict::kNoAttention, s.attention_leave_one_out = s.attention_gradient = {};
  }
  return r;
}

/// Self-attention of 2 layers of 2 heads over all words that were read; of an LSTMN of 2 layers over those before each.
void add_maps(viz::Sentence& s, bool looks_back) {
  const std::size_t n = s.words.size();
  const auto read = [&](std::size_t i) {
    return s.words[i].state == viz::WordState::kSeen ||
           s.words[i].state == viz::WordState::kUnknown;
  };
  for (std::int64_t k = 0; k < (looks_back ? 2 : 4); ++k) {
    Random noise(11, Purpose::kGenerate, static_cast<std::uint64_t>(100 * s.id + k));
    std::vector<std::vector<double>> weights(n, std::vector<double>(n, viz::kMissing));
    for (std::size_t t = 0; t < n; ++t) {
      double sum = .3;  // what falls on no word
      const auto seen = [&](std::size_t j) { return read(t) && read(j) && (!looks_back || j < t); };
      for (std::size_t j = 0; j < n; ++j)
        if (seen(j)) sum += weights[t][j] = std::exp(1.5 * noise.normal());
      for (std::size_t j = 0; j < n; ++j)
        if (seen(j)) weights[t][j] /= sum;
    }
    s.maps.push_back({looks_back ? k : k / 2, looks_back ? 0 : k % 2, std::move(weights)});
  }
}

viz::SentimentReport with_heads() {
  auto r = without_attention();
  r.run = "classification/minilm", r.model = "MiniLM";
  for (auto& s : r.sentences) add_maps(s, false);
  return r;
}

viz::SentimentReport looking_back() {
  auto r = frame(usual());
  r.run = "classification/lstmn", r.model = "LSTMN";
  for (auto& s : r.sentences) add_maps(s, true);
  return r;
}

viz::SentimentReport one_seed_no_gradient() {
  auto r = frame(usual());
  r.seeds = {1}, r.models.clear(), r.difference = {}, r.median_seed_agreement = viz::kMissing,
  r.sample = false;
  for (auto& s : r.sentences) {
    s.attention_low.clear(), s.attention_high.clear(), s.gradient_x_input.clear();
    s.seed_agreement = viz::kMissing, s.attention_gradient = s.leave_one_out_gradient = {};
  }
  return r;
}

viz::SentimentReport padded() {
  auto r =
      frame({sentence(1, "^Well ^, the food:.5:.01 was not:.9:.62 good:2.3:.10 at all:1.5:.06 .", 0,
                      0, .93, viz::Verdict::kWeak, .21, 24),
             sentence(2, "Terrible:2:.6", 0, 0, .99, viz::Verdict::kOneWord, viz::kMissing, 31)});
  r.mean_attention_on_padding = .41;
  return r;
}

viz::SentimentReport flat() {
  auto r = frame({sentence(1, "The sound is clear and the case feels solid .", 1, 1, .9,
                           viz::Verdict::kAllEqual, viz::kMissing, 22),
                  sentence(2, "A dull:.1:.3 plot and a long:.1:.1 evening .", 0, 0, .8,
                           viz::Verdict::kAllEqual, viz::kMissing, 24)});
  r.mean_attention_on_padding = .51;
  return r;
}

viz::SentimentReport hostile() {
  auto s = sentence(1, "a b:1:.2 c d e f g", 0, 0, .7, viz::Verdict::kInPart, .4);
  const char* nasty[] = {"</script><img src=x onerror=alert(1)>",
                         "\xE2\x80\xAE"
                         "drawkcab",
                         "\x1b[31mred\x1b[2J",
                         "=HYPERLINK(\"http://x\")",
                         "bad\xFF\xC3utf8",
                         "<!--<script>",
                         "\"quoted\", and\nbroken"};
  for (std::size_t i = 0; i < 7; ++i) s.words[i].text = nasty[i];
  auto r = frame({s, sentence(2, std::string(400, 'x') + ":2:.3 is one long word .", 1, 1, .8,
                              viz::Verdict::kInPart, .3)});
  r.run = "<b>run</b> & \"name\" \xE2\x80\xAE";
  return r;
}

viz::SentimentReport huge() {
  std::string text;
  for (int i = 0; i < 2000; ++i)
    text += "word" + std::to_string(i) + (i % 97 == 5 ? ":2:.04 " : " ");
  std::vector<viz::Sentence> all = {sentence(1, text, 0, 0, .9, viz::Verdict::kWeak, .1)};
  for (int i = 2; i <= 500; ++i)
    all.push_back(sentence(i, "The food:.5:.01 was not:.9:.62 good:2.3:.10 at all:1.5:.06 .",
                           i % 3 == 0, 0, .93, viz::Verdict::kWeak, .21));
  return frame(all);
}

viz::SentimentReport many_classes() {
  auto r = frame({sentence(1, "a masterpiece:2:.3 of dull:1:-.2 ideas and bright moments:.5:.4", 3,
                           4, .46, viz::Verdict::kInPart, .4)});
  r.label_names = {"very negative", "negative", "neutral", "positive", "very positive"};
  r.models.clear(), r.seeds = {3, 5, 8};
  for (auto& l : r.sentences[0].what_if_label) l = 4;
  r.sentences[0].what_if_label[6] = 2;
  r.sentences[0].label = 3;
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: make_report FOLDER\n", 2;
  const std::string folder = std::string(argv[1]) + "/";
  const auto usual_report = frame(usual());
  write_file_atomically(folder + "usual.html", viz::html(usual_report));
  write_file_atomically(folder + "no-attention.html", viz::html(without_attention()));
  write_file_atomically(folder + "one-seed.html", viz::html(one_seed_no_gradient()));
  write_file_atomically(folder + "heads.html", viz::html(with_heads()));
  write_file_atomically(folder + "looking-back.html", viz::html(looking_back()));
  write_file_atomically(folder + "padding.html", viz::html(padded()));
  write_file_atomically(folder + "flat.html", viz::html(flat()));
  write_file_atomically(folder + "hostile.html", viz::html(hostile()));
  write_file_atomically(folder + "huge.html", viz::html(huge()));
  write_file_atomically(folder + "classes.html", viz::html(many_classes()));
  write_file_atomically(folder + "empty.html", viz::html(frame({})));
  for (const int i : {0, 13}) {
    const auto& s = usual_report.sentences[static_cast<std::size_t>(i)];
    write_file_atomically(folder + "sentence" + std::to_string(s.id) + ".svg",
                          viz::svg(s, usual_report.label_names));
    for (const auto colour : {viz::Colour::kNone, viz::Colour::kTrue, viz::Colour::k256})
      std::cout << viz::terminal(s, usual_report.label_names, {colour, true, 100, 8}) << "\n";
  }
  return 0;
}
