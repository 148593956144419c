// Pictures of translations: SVG, terminal, messages, words of the verdict.
// Mutations these tests kill: a block of columns wider than the terminal; all-equal weights shaded on their own maximum; a source
// token printed with its control characters; a row of another length let through.
#include "attend/viz/translation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attend/base/error.h"

namespace attend::viz {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Translation two_by_three() {
  Translation t;
  t.id = 7, t.source = {"three", "<b>", "\x1b[2J"}, t.target = {"3", "</s>"};
  t.text = "3", t.score = -.25;
  t.weights = {{.9, .1, 0}, {.2, .3, .5}};
  t.effects = {{2, .5, -.1}, {.1, .2, .3}};
  t.attention = {1.1, .4, .5}, t.leave_one_out = {2.1, .7, .2};
  t.verdict = Verdict::kFewWords, t.same_token = 2, t.compared = 2;
  t.alignment = {{0, 0}};
  return t;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

std::string message_of(const Translation& t) {
  TranslationReport r;
  r.translations = {t};
  try {
    html(r);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "no error";
}

TEST(TranslationSvg, HasACellAPairAndADotARow) {
  const std::string drawing = svg(two_by_three());
  EXPECT_EQ(count_of(drawing, "width=\"27.00\" height=\"27.00\""), 6u);
  EXPECT_EQ(count_of(drawing, "<circle"), 2u);
  EXPECT_THAT(drawing, HasSubstr("fill=\"#003b7b\""));  // .9 is the largest: step 10
  EXPECT_THAT(drawing, HasSubstr("fill=\"#4d85ce\""));  // .5: round(5.56) = 6
  EXPECT_THAT(drawing, HasSubstr("fill=\"#9cc0f1\""));  // .3: round(3.33) = 3
  EXPECT_THAT(drawing, HasSubstr("&lt;b&gt;"));
  EXPECT_THAT(drawing, Not(HasSubstr("<b>")));
  EXPECT_THAT(drawing, HasSubstr("Too few source words to compare"));
  EXPECT_THAT(drawing, HasSubstr("+2.10"));
}

TEST(TranslationSvg, EqualWeightsLookPale) {
  Translation t = two_by_three();
  t.weights = {{1. / 3, 1. / 3, 1. / 3}, {1. / 3, 1. / 3, 1. / 3}};
  t.verdict = Verdict::kAllEqual;
  EXPECT_THAT(svg(t), Not(HasSubstr("#003b7b")));  // shaded on 0 … 1
}

TEST(TranslationSvg, WithoutAttentionThereAreBarsAlone) {
  Translation t = two_by_three();
  t.weights.clear(), t.attention.clear(), t.verdict = Verdict::kNoAttention;
  const std::string drawing = svg(t);
  EXPECT_EQ(count_of(drawing, "<circle"), 0u);
  EXPECT_THAT(drawing, HasSubstr("No attention to judge"));
  EXPECT_THAT(drawing, HasSubstr("+2.10"));
}

TEST(TranslationPng, IsThatPicture) {
  try {
    const std::string bytes = png(two_by_three());
    EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("librsvg"));
  }
}

TEST(TranslationTerminal, RowsAreOutputTokens) {
  const std::string view = terminal(two_by_three());
  EXPECT_THAT(view, HasSubstr("3  (score −.25)"));
  EXPECT_THAT(view, HasSubstr("\n   3  █.90  ▁.10     · \n"));
  EXPECT_THAT(view, HasSubstr("\n</s>  ▁.20  ▂.30  ▄.50 \n"));
  EXPECT_THAT(view, HasSubstr("word pairs: three→3\n"));
  EXPECT_THAT(view, HasSubstr("For 2 of 2 output words"));
  EXPECT_THAT(view, Not(HasSubstr("\x1b")));
}

TEST(TranslationTerminal, ColourShadesTheGround) {
  const std::string view = terminal(two_by_three(), {Colour::kTrue, false, 80, 8});
  EXPECT_THAT(view, HasSubstr("\x1b[48;2;0;59;123m\x1b[38;2;255;255;255m  .90 \x1b[0m"));
  EXPECT_THAT(view, Not(HasSubstr("\x1b[2J")));  // what the text brings is made visible
}

TEST(TranslationTerminal, AWideGridIsBrokenIntoBlocks) {
  Translation t = two_by_three();
  t.source.assign(20, "word"), t.source.back() = "last";
  t.weights.assign(2, std::vector<double>(20, .05)), t.effects = t.weights;
  t.attention.assign(20, .1), t.leave_one_out = t.attention;
  const std::string view = terminal(t, {Colour::kNone, true, 60, 8});
  EXPECT_EQ(count_of(view, "\n   3 "), 3u);  // 5 columns of labels, then 9 cells of 6 a block
  std::size_t at = 0;
  for (std::size_t end; (end = view.find('\n', at)) != std::string::npos; at = end + 1) {
    std::size_t columns = 0;
    for (const char c : view.substr(at, end - at)) columns += (c & 0xC0) != 0x80;
    EXPECT_LE(columns, 60u) << view.substr(at, end - at);
  }
  EXPECT_THAT(view, HasSubstr("4 source words with less effect not listed"));
}

TEST(TranslationReport, ShapesMustFit) {
  Translation t = two_by_three();
  t.weights[1].pop_back();
  EXPECT_THAT(message_of(t), HasSubstr("translation 7 has 2 output and 3 source tokens but weights "
                                       "of another shape"));
  t = two_by_three(), t.effects.pop_back();
  EXPECT_THAT(message_of(t), HasSubstr("effects of another shape"));
  t = two_by_three(), t.leave_one_out.pop_back();
  EXPECT_THAT(message_of(t), HasSubstr("3 source tokens but 2 values of leave_one_out"));
  EXPECT_EQ(message_of(two_by_three()), "no error");
}

TEST(TranslationReport, NoTextEndsTheScript) {
  Translation t = two_by_three();
  t.source[0] = "</script>";
  TranslationReport r;
  r.translations = {t};
  const std::string page = html(r);
  EXPECT_EQ(count_of(page, "</script>"), 2u);
  EXPECT_THAT(page, HasSubstr("\\u003c/script>"));
}

TEST(TranslationVerdict, SaysWhenAttentionAndNeedDisagree) {
  Translation t = two_by_three();
  t.verdict = Verdict::kDisagree, t.attention_leave_one_out = {-.4, .99, -.2, .2};
  EXPECT_EQ(verdict_text(t).lead, "Attention and what the output needed disagree");
  t.verdict = Verdict::kWell, t.attention_leave_one_out = {.8, .002, -.2, .2};
  EXPECT_THAT(verdict_text(t).why, HasSubstr("fewer than 1 of 100 trials"));
}

}  // namespace
}  // namespace attend::viz
