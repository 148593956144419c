// Mutations these tests kill: `<` left in the JSON; ESC or a bidirectional control passed to the
// terminal; a shade rounded down; a length check left out; a difference called better when its
// interval holds zero; overlong UTF-8 taken as valid.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/viz/report.h"
#include "attend/viz/terminal.h"
#include "viz/json.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Sentence three_words() {
  Sentence s;
  s.id = 3;
  s.words = {{"not", WordState::kSeen, false},
             {"a", WordState::kDropped, false},
             {"plot", WordState::kSeen, false}};
  s.label = 0, s.predicted = 1, s.probability = .75;
  s.attention = {.8, kMissing, .2};
  s.leave_one_out = {.5, kMissing, -.05};
  s.what_if = {.25, kMissing, .8};
  s.what_if_label = {0, -1, 1};
  s.gradient_x_input = {1.5, kMissing, -.25};
  s.verdict = Verdict::kFewWords;
  return s;
}

SentimentReport report_of(const Sentence& s) {
  SentimentReport r;
  r.label_names = {"negative", "positive"};
  r.sentences = {s};
  return r;
}

std::string message_of(const SentimentReport& r) {
  try {
    html(r);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "no error";
}

TEST(Numbers, AreWrittenAsTheDesignSays) {
  EXPECT_EQ(dec(.07), ".07");
  EXPECT_EQ(dec(1), "1.00");
  EXPECT_EQ(dec(-.31), "−.31");
  EXPECT_EQ(dec(-.001), ".00");  // no minus before zero
  EXPECT_EQ(signed_dec(.001), ".00");
  EXPECT_EQ(signed_dec(.31), "+.31");
  EXPECT_EQ(dec(kMissing), "–");
}

TEST(Shade, IsRoundedToTheNearestTenth) {
  EXPECT_EQ(shade(0, 1), 0);
  EXPECT_EQ(shade(.049, 1), 0);
  EXPECT_EQ(shade(.05, 1), 1);
  EXPECT_EQ(shade(.15, .2), 8);  // 7.5 goes up
  EXPECT_EQ(shade(.2, .2), 10);
  EXPECT_EQ(shade(kMissing, 1), 0);
  EXPECT_EQ(shade(1, 0), 0);
}

TEST(Utf8, InvalidBytesBecomeTheReplacementCharacter) {
  const auto one = [](const char* s) { return decode(s); };
  EXPECT_EQ(one("é"), std::vector<char32_t>({0xE9}));
  EXPECT_EQ(one("\xC0\x80"), std::vector<char32_t>({0xFFFD, 0xFFFD}));  // overlong NUL
  EXPECT_EQ(one("\xED\xA0\x80").front(), 0xFFFDu);                      // a surrogate
  EXPECT_EQ(one("\xF4\x90\x80\x80").front(), 0xFFFDu);                  // above U+10FFFF
  EXPECT_EQ(one("\xE2\x82"), std::vector<char32_t>({0xFFFD, 0xFFFD}));  // cut
  EXPECT_EQ(columns("日本"), 4);
  EXPECT_EQ(columns("e\xCC\x81"), 1);
}

TEST(Terminal, NoInputCanMoveTheCursorOrReorderTheLine) {
  EXPECT_EQ(safe("a\x1b[31mb"), "a␛[31mb");
  EXPECT_EQ(safe("\r\n\t\x7f"), "␍␊␉␡");
  EXPECT_EQ(safe("\xE2\x80\xAEx"), "⟨U+202E⟩x");
  EXPECT_EQ(safe("\xC2\x9B"
                 "0m"),
            "⟨U+009B⟩0m");  // the one-byte CSI
  EXPECT_EQ(safe("bad\xFF"), "bad\xEF\xBF\xBD");
  Sentence s = three_words();
  s.words[0].text = "\x1b]0;owned\x07", s.words[2].text = "\xE2\x81\xA6";
  for (const Colour colour : {Colour::kNone, Colour::k256, Colour::kTrue}) {
    const std::string out = terminal(s, {"neg\x1b[5m", "pos\x1b[5m"}, {colour, true, 80, 8});
    EXPECT_THAT(out, Not(HasSubstr("\x1b]")));
    EXPECT_THAT(out, Not(HasSubstr("\x1b[5m")));
    EXPECT_THAT(out, Not(HasSubstr("\x07")));
    EXPECT_THAT(out, Not(HasSubstr("\xE2\x81\xA6")));
  }
}

TEST(Terminal, WithoutColourThereIsNoEscapeAndTheWeightStillShows) {
  const std::string out =
      terminal(three_words(), {"negative", "positive"}, {Colour::kNone, true, 80, 8});
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(out, HasSubstr("not█ (a) plot▂"));  // .2 / .8: 2.5 goes up to step 3
  EXPECT_THAT(out, HasSubstr("positive .75  ✗ wrong: the data say negative"));
  EXPECT_THAT(out, HasSubstr("Too few words to compare"));
  EXPECT_THAT(out, HasSubstr("✗ flips"));
}

TEST(Terminal, EqualWeightsLeaveTheChoiceOfRowsToTheEffect) {
  Sentence s = three_words();
  s.words[1].state = WordState::kSeen;
  s.attention = {.0333, .0334, .0332}, s.leave_one_out = {.1, .01, -.4}, s.what_if = {.65, .74, .9};
  s.what_if_label = {1, 1, 1}, s.verdict = Verdict::kAllEqual, s.attention_leave_one_out.tau = .3;
  const std::string out = terminal(s, {"negative", "positive"}, {Colour::kNone, true, 80, 1});
  EXPECT_THAT(out, HasSubstr("\nplot "));
  EXPECT_THAT(out, HasSubstr(".033"));  // two decimals would not tell them apart
  EXPECT_THAT(out, Not(HasSubstr("Kendall")));
  EXPECT_THAT(out, HasSubstr("2 quieter words not listed"));
}

TEST(Terminal, WhatWasLookedBackOnIsARowForEachWordThatWasRead) {
  Sentence s = three_words();
  EXPECT_THAT(terminal(s, {"no", "yes"}), Not(HasSubstr("looked back on")));
  s.words.push_back({"at", WordState::kSeen, false});
  for (auto* v : {&s.attention, &s.leave_one_out, &s.what_if, &s.gradient_x_input})
    v->push_back(.1);
  s.what_if_label.push_back(1);
  const double no = kMissing;
  s.maps = {{0, 0, {{no, no, no, no}, {no, no, no, no}, {1, no, no, no}, {.5, no, .5, no}}},
            {1, 0, {{no, no, no, no}, {no, no, no, no}, {1, no, no, no}, {0, no, 1, no}}}};
  const std::string out = terminal(s, {"no", "yes"}, {Colour::kNone, true, 80, 8});
  EXPECT_THAT(out, HasSubstr("\nwhat it looked back on at each word\n[not]\nnot█ [plot]\n"
                             "not▂ plot█ [at]\n"));
  s.maps[1].weights.pop_back();
  EXPECT_THROW(terminal(s, {"no", "yes"}), Error);
}

TEST(Terminal, WordsThatSeeEachOtherHaveTooManyMapsForALine) {
  Sentence s = three_words();
  const std::vector<double> row(3, .3);
  s.maps = {{0, 0, {row, row, row}}, {0, 1, {row, row, row}}};
  const std::string out = terminal(s, {"no", "yes"}, {Colour::kNone, true, 80, 8});
  EXPECT_THAT(out, HasSubstr("look at each other in 2 maps, one a layer and head: --html"));
  EXPECT_THAT(out, Not(HasSubstr("looked back on")));
}

TEST(Terminal, ColourFollowsTheRamp) {
  EXPECT_THAT(shaded_words(three_words(), {Colour::kTrue, true, 80, 8}),
              HasSubstr("\x1b[48;2;181;216;254m\x1b[38;2;0;0;0m not \x1b[0m"));
  EXPECT_THAT(shaded_words(three_words(), {Colour::kTrue, false, 80, 8}),
              HasSubstr("\x1b[48;2;0;59;123m\x1b[38;2;255;255;255m not \x1b[0m"));
  EXPECT_THAT(shaded_words(three_words(), {Colour::k256, false, 80, 8}), HasSubstr("\x1b[48;5;"));
}

TEST(Terminal, LinesKeepToTheWidth) {
  Sentence s = three_words();
  for (int i = 0; i < 60; ++i) {
    s.words.push_back({"word", WordState::kSeen, false});
    for (auto* v : {&s.attention, &s.leave_one_out, &s.what_if, &s.gradient_x_input})
      v->push_back(.01);
    s.what_if_label.push_back(1);
  }
  std::string line;
  for (const char c : shaded_words(s, {Colour::kNone, true, 40, 8})) {
    if (c != '\n') {
      line.push_back(c);
      continue;
    }
    EXPECT_LE(columns(line), 41);  // a trailing space may stand in column 41
    line.clear();
  }
}

TEST(PageData, CannotEndItsScriptElement) {
  Sentence s = three_words();
  s.words[0].text = "</script><!--<script>";
  const std::string data = page_data(report_of(s));
  EXPECT_THAT(data, Not(HasSubstr("<")));
  EXPECT_THAT(data, HasSubstr("\\u003c/script>"));
}

TEST(PageData, MissingNumbersAreNull) {
  const std::string data = page_data(report_of(three_words()));
  EXPECT_THAT(data, HasSubstr("\"weights\":[[0.8,null,0.2]]"));
  EXPECT_THAT(data, HasSubstr("\"gradient_x_input\":[1.5,null,-0.25]"));
  EXPECT_THAT(data, HasSubstr("\"query\":[\"sentence\"],\"key\":[\"not\",\"a\",\"plot\"]"));
  EXPECT_THAT(data, HasSubstr("\"what_if\":[{\"probability\":0.25,\"label\":\"negative\"},null,{"
                              "\"probability\":0.8,\"label\":\"positive\"}]"));
  EXPECT_THAT(data, HasSubstr("\"accuracy\":null"));
  EXPECT_THAT(data, HasSubstr("\"seen\":[\"seen\",\"dropped\",\"seen\"]"));
}

TEST(Page, RefusesArraysThatDoNotFitTheWords) {
  auto r = report_of(three_words());
  r.sentences[0].attention.pop_back();
  EXPECT_EQ(
      message_of(r),
      "attend::viz: sentence 3 has 3 words but 2 values of attention; give one a word, or none");
  r = report_of(three_words());
  r.sentences[0].what_if_label.clear();
  EXPECT_THAT(message_of(r), HasSubstr("0 values of what_if_label"));
  r = report_of(three_words());
  r.sentences[0].predicted = 2;
  EXPECT_EQ(message_of(r), "attend::viz: sentence 3 has label 2 but there are 2 label names");
  r = report_of(three_words());
  r.sentences[0].label = -2;
  EXPECT_THAT(message_of(r), HasSubstr("has label -2"));
  r = report_of(three_words());
  r.sentences[0].what_if_label[0] = 7;
  EXPECT_THAT(message_of(r), HasSubstr("has label 7"));
}

TEST(Page, EscapesTheRunsName) {
  auto r = report_of(three_words());
  r.run = "</title><b onclick=\"x\">&\xE2\x80\xAE";
  const std::string page = html(r);
  EXPECT_THAT(page, Not(HasSubstr("<b onclick")));
  EXPECT_THAT(page, HasSubstr("&lt;/title&gt;&lt;b onclick=&quot;x&quot;&gt;&amp;⟨U+202E⟩"));
}

TEST(Svg, HoldsTheWordsAsEscapedText) {
  Sentence s = three_words();
  s.words[0].text = "<not>&";
  const std::string out = svg(s, {"negative", "positive"});
  EXPECT_THAT(out, HasSubstr(">&lt;not&gt;&amp;</text>"));
  EXPECT_THAT(out, HasSubstr(">plot</text>"));
  EXPECT_THAT(out, HasSubstr("The model says positive .75; the data say negative.  ✗ wrong"));
  EXPECT_THAT(out, HasSubstr("#003b7b"));  // full shade
}

TEST(Verdict, SaysWhatFollows) {
  Sentence s = three_words();
  s.verdict = Verdict::kWeak, s.attention_leave_one_out = {.15, .31, -.6, .6};
  EXPECT_THAT(verdict_text(s).why,
              HasSubstr("in 31 of 100 trials, so chance alone could explain it"));
  s.attention_leave_one_out.chance = .004, s.verdict = Verdict::kWell;
  EXPECT_THAT(
      verdict_text(s).why,
      HasSubstr("in fewer than 1 of 100 trials, so it is more than chance. Here the shading"));
  s.verdict = Verdict::kOneWord;
  EXPECT_THAT(verdict_text(s).why, HasSubstr("its weight is 1 by definition"));
  s.attention_on_padding = .3;
  EXPECT_THAT(verdict_text(s).why, HasSubstr("and padding (.30)"));
  s.verdict = Verdict::kAllEqual;
  EXPECT_THAT(verdict_text(s).why, HasSubstr("The 2 words get .200 to .800 each"));
}

TEST(Overall, WarnsWhenMostWeightsAreEqual) {
  Sentence s = three_words();
  s.verdict = Verdict::kAllEqual;
  auto r = report_of(s);
  r.sentences.push_back(s);
  r.sentences.push_back(three_words());
  r.accuracy = {.651, .62, .68}, r.uniform_accuracy = {.65, .61, .68};
  EXPECT_EQ(overall_text(r).lead, "In 2 of 3 sentences the attention chose nothing");
  EXPECT_THAT(overall_text(r).why,
              HasSubstr("accuracy is 65.1 %, with attention held equal 65.0 %"));
  r.sentences.push_back(three_words());
  EXPECT_EQ(overall_text(r).lead, "");
  for (auto& sentence : r.sentences) sentence.verdict = Verdict::kNoAttention;
  EXPECT_EQ(overall_text(r).lead, "");
}

TEST(Comparison, SaysWhatItCanShow) {
  SentimentReport r;
  EXPECT_EQ(comparison_text(r).lead, "");
  r.models = {{"LSTM", "", {.8, .81}}, {"LSTM with attention", "", {.81, .83}}};
  r.test_size = 400;
  r.difference = {.015, -.05, .08};
  EXPECT_EQ(comparison_text(r).lead, "2 seeds do not tell them apart.");
  EXPECT_THAT(comparison_text(r).why,
              HasSubstr("1.5 points better on average; the 95 % interval of the paired difference, "
                        "−5.0 to +8.0, holds zero."));
  EXPECT_THAT(
      comparison_text(r).why,
      HasSubstr("the same 400 sentences, on which one accuracy alone is uncertain by ±3.8 points"));
  r.difference = {.015, .005, .025};
  EXPECT_EQ(comparison_text(r).lead, "LSTM with attention is better here, by 1.5 points.");
  r.difference = {-.015, -.025, -.005};
  EXPECT_EQ(comparison_text(r).lead, "LSTM with attention is worse here, by 1.5 points.");
  r.models[0].accuracies = {.8}, r.models[1].accuracies = {.81},
  r.difference = {.01, kMissing, kMissing};
  EXPECT_EQ(comparison_text(r).lead, "One run of each cannot tell them apart.");
}

}  // namespace
}  // namespace attend::viz
