// Pictures of what a language model looked back on: SVG, PNG, terminal, the page's data, messages.
// Mutations these tests kill: every line shaded on the last one's largest; effects of the line before; the first lines in place of
// the last; all-equal weights shaded on their own largest; long lines that keep their beginning; the mean in place of every head in
// the page's data; maps of another shape let through.
#include "attend/viz/reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "support/message_of.h"

namespace attend::viz {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNone = kMissing;
constexpr char kFrameSide[] = "stroke=\"#1b1d21\"";  // of the token being read

Reading three_words() {
  Reading r;
  r.id = 7, r.tokens = {"the", "<b>", "\x1b[2Jsat"};
  r.log_probabilities = {std::log(.5), std::log(.25), std::log(.125)};
  r.guesses = {"cat", "is", "on"};
  r.guess_log_probabilities = {std::log(.75), std::log(.375), std::log(.0625)};
  r.weights = {{kNone, kNone, kNone}, {.5, kNone, kNone}, {.25, .75, kNone}};
  r.maps = {{0, 0, {{kNone, kNone, kNone}, {.75, kNone, kNone}, {.25, .5, kNone}}},
            {0, 1, {{kNone, kNone, kNone}, {.25, kNone, kNone}, {.25, 1, kNone}}}};
  r.effects = {{kNone, kNone, kNone}, {.5, -.25, kNone}, {kNone, kNone, kNone}};
  r.leave_one_out = {.5, -.25, kNone};
  r.verdict = Verdict::kFewWords;
  return r;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

Reading letters(std::size_t n) {
  Reading r;
  r.id = 1, r.characters = true, r.verdict = Verdict::kNoAttention;
  for (std::size_t i = 0; i < n; ++i) r.tokens.emplace_back(i % 3 == 2 ? " " : "i");
  return r;
}

nlohmann::json item_of(const Reading& r) {
  ReadingReport report;
  report.readings = {r};
  const std::string page = html(report), start = "id=\"data\">";
  const auto at = page.find(start) + start.size();
  return nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at))["items"][0];
}

TEST(ReadingSvg, HasALineAToken) {
  const std::string drawing = svg(three_words());
  EXPECT_EQ(count_of(drawing, kFrameSide), 3 * 4u);  // a frame a line
  EXPECT_EQ(count_of(drawing, ">the</text>"), 3u);
  EXPECT_EQ(count_of(drawing, ">&lt;b&gt;</text>"),
            3u);  // its line, the last, what followed the first
  EXPECT_THAT(drawing, Not(HasSubstr("<b>")));
  EXPECT_THAT(drawing, HasSubstr("␛[2Jsat"));
  EXPECT_THAT(drawing, HasSubstr("Too few tokens to compare"));
  EXPECT_EQ(count_of(drawing, ">.25</text>"), 1u);  // P of what followed the first token
  EXPECT_EQ(count_of(drawing, ">.50</text>"), 0u);  // P of the first token follows nothing
  EXPECT_EQ(count_of(drawing, ">.75</text>"), 1u);  // and of the likeliest
  EXPECT_EQ(count_of(drawing, ">cat</text>"), 1u);
}

TEST(ReadingSvg, ShadesAreSharesOfTheLinesLargest) {
  Reading r = three_words();
  const std::string legend = "width=\"12.00\"";
  const auto shades = [&](const char* colour) {  // besides the legend's
    std::size_t n = 0;
    const std::string drawing = svg(r);
    for (auto at = drawing.find(colour); at != std::string::npos;
         at = drawing.find(colour, at + 1)) {
      const auto begin = drawing.rfind('<', at);
      n += drawing.compare(begin, 5, "<rect") == 0 &&
           drawing.substr(begin, at - begin).find(legend) == std::string::npos;
    }
    return n;
  };
  EXPECT_EQ(shades("#003b7b"), 2u);  // .5 alone on its line, .75 on its own
  EXPECT_EQ(shades("#9cc0f1"), 1u);  // .25 of .75: round(3.33) = 3
  r.verdict = Verdict::kAllEqual;
  EXPECT_EQ(shades("#003b7b"), 0u);  // on 0 … 1
  EXPECT_EQ(shades("#6698dc"), 1u);  // .5
}

TEST(ReadingSvg, LinesUnderTokensAreTheEffects) {
  const std::string drawing = svg(three_words());
  // Two of the legend; the second line's token that was needed, and the one that was in the way: round(4 · .25 / .5) = 2.
  EXPECT_EQ(count_of(drawing, "stroke-width=\"4.00\""), 3u);
  EXPECT_EQ(count_of(drawing, "stroke-dasharray"), 2u);
  EXPECT_EQ(count_of(drawing, "stroke-width=\"2.00\" stroke-dasharray"), 1u);
}

TEST(ReadingSvg, OnlyTheLastLinesAndWhatFitsOnThem) {
  Reading r = letters(100);
  const std::string drawing = svg(r);
  EXPECT_THAT(drawing, HasSubstr(">76 lines before are left out</text>"));
  EXPECT_EQ(count_of(drawing, kFrameSide), 24 * 4u);
  EXPECT_EQ(count_of(drawing, ">…</text>"), 24u);  // each has lost its beginning
  r.cut = 5;
  EXPECT_THAT(svg(r), HasSubstr("76 lines before are left out; 5 tokens in front were not read"));
  double widest = 0;
  for (auto at = drawing.find("<text x=\""); at != std::string::npos;
       at = drawing.find("<text x=\"", at + 1))
    widest = std::max(widest, std::stod(drawing.substr(at + 9)));
  EXPECT_LT(widest, 800);
  EXPECT_THAT(drawing, Not(HasSubstr("weight 0")));  // no attention: no legend of it
  r.tokens[99] = std::string(500, 'w');
  EXPECT_THAT(svg(r), HasSubstr("ww…</text>"));
}

TEST(ReadingSvg, OneTokenAndNone) {
  Reading r = letters(1);
  EXPECT_THAT(svg(r), HasSubstr(">i</text>"));
  r.tokens.clear();
  EXPECT_THAT(svg(r), HasSubstr("</svg>"));
}

TEST(ReadingPng, IsThatPicture) {
  try {
    const std::string bytes = png(three_words());
    EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("librsvg"));
  }
}

TEST(ReadingTerminal, RowsTableAndVerdict) {
  Reading r = three_words();
  r.tokens[1] = "cat";
  const std::string plain = terminal(r);
  EXPECT_THAT(plain, HasSubstr("[the]\n"));
  EXPECT_THAT(plain, HasSubstr("the█ [cat]\n"));
  EXPECT_THAT(plain, HasSubstr("the▂ cat█ [␛[2Jsat]\n"));
  EXPECT_THAT(plain, HasSubstr("Too few tokens to compare"));
  EXPECT_THAT(plain, ::testing::ContainsRegex("cat +\\.25  the +\\.50  the +\\+\\.50\n"));
  EXPECT_THAT(plain, HasSubstr(".13  cat                 .75  –"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  TerminalOptions colour;
  colour.colour = Colour::kTrue;
  EXPECT_THAT(terminal(r, colour), HasSubstr("\x1b["));
  r.characters = true, r.cut = 7;
  r.tokens = {"\n", " ", "b"};
  EXPECT_THAT(terminal(r), HasSubstr("↵▂␣█[b]\n"));
  EXPECT_THAT(terminal(r), HasSubstr("7 tokens in front were not read"));
}

TEST(ReadingVerdict, SaysWhatIsComparedAndWhenItDisagrees) {
  Reading r = three_words();
  r.verdict = Verdict::kDisagree, r.attention_leave_one_out = {-.4, .99, -.2, .2};
  r.same_token = 1, r.compared = 2;
  EXPECT_EQ(verdict_text(r).lead, "Attention and what the guesses needed disagree");
  EXPECT_THAT(verdict_text(r).why, HasSubstr("At 1 of 2 tokens"));
  EXPECT_THAT(verdict_text(r).why, HasSubstr("which this attention cannot look at"));
  r.weights[2][2] = .1;
  EXPECT_THAT(verdict_text(r).why, Not(HasSubstr("cannot look at")));
}

TEST(ReadingReport, HoldsTheDocument) {
  const auto item = item_of(three_words());
  EXPECT_EQ(item["id"], 7);
  EXPECT_EQ(item["input"][1], "<b>");
  EXPECT_EQ(item["attention"].size(), 2u);  // every head, not their mean
  EXPECT_EQ(item["attention"][1]["head"], 1);
  EXPECT_EQ(item["attention"][1]["weights"][2][1], 1.0);
  EXPECT_TRUE(item["attention"][1]["weights"][2][2].is_null());
  EXPECT_EQ(item["output"]["guess"][2], "on");
  EXPECT_EQ(item["attribution"]["leave_one_out_by_token"][1][1], -.25);
  EXPECT_EQ(item["attribution"]["leave_one_out"][0], .5);
  EXPECT_TRUE(item["attribution"]["leave_one_out"][2].is_null());
  EXPECT_EQ(item["agreement"]["verdict"], "few_words");
}

TEST(ReadingReport, ShapesMustFit) {
  const auto message = [](const auto& change) {
    Reading r = three_words();
    change(r);
    const std::string of_page = test::message_of([&] { item_of(r); });
    EXPECT_EQ(of_page, test::message_of([&] { svg(r); }));
    EXPECT_EQ(of_page, test::message_of([&] { terminal(r); }));
    return of_page;
  };
  EXPECT_THAT(message([](Reading& r) { r.weights.pop_back(); }),
              HasSubstr("reading 7 has 3 tokens but weights that are not 3 × 3"));
  EXPECT_THAT(message([](Reading& r) { r.effects[1].pop_back(); }),
              HasSubstr("effects that are not 3 × 3"));
  EXPECT_THAT(message([](Reading& r) { r.maps[1].weights.pop_back(); }),
              HasSubstr("weights of a map that are not 3 × 3"));
  EXPECT_THAT(message([](Reading& r) { r.log_probabilities.pop_back(); }),
              HasSubstr("3 tokens but 2 values of log_probabilities; give one a token, or none"));
  EXPECT_THAT(message([](Reading& r) { r.guesses.pop_back(); }), HasSubstr("2 values of guesses"));
  EXPECT_THAT(message([](Reading& r) { r.guess_log_probabilities.pop_back(); }),
              HasSubstr("2 values of guess_log_probabilities"));
  EXPECT_THAT(message([](Reading& r) { r.leave_one_out.pop_back(); }),
              HasSubstr("2 values of leave_one_out"));
}

TEST(ReadingReport, NoTextEndsTheScript) {
  Reading r = three_words();
  r.tokens[0] = r.guesses[0] = "</script>";
  ReadingReport report;
  report.readings = {r};
  EXPECT_EQ(count_of(html(report), "</script>"), 2u);
}

}  // namespace
}  // namespace attend::viz
