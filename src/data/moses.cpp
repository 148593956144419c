// Moses' rules, applied in its order by ICU's regular expressions.
#include "attend/data/moses.h"

#include <unicode/regex.h>

#include <array>
#include <map>
#include <memory>
#include <set>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

using icu::UnicodeString;

UnicodeString to_icu(std::string_view text) {
  return UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

std::string from_icu(const UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

/// Compiled once, matched by any thread.
class MosesPattern {
 public:
  MosesPattern(const char* pattern) {  // NOLINT(google-explicit-constructor): tables of literals
    UErrorCode status = U_ZERO_ERROR;
    pattern_.reset(icu::RegexPattern::compile(UnicodeString::fromUTF8(pattern), 0, status));
    if (U_FAILURE(status)) fail_usage(std::string("moses: a bad pattern: ") + pattern);
  }
  UnicodeString replace(const UnicodeString& text, const UnicodeString& with) const {
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<icu::RegexMatcher> matcher(pattern_->matcher(text, status));
    UnicodeString out = matcher->replaceAll(with, status);
    if (U_FAILURE(status)) fail_input(std::string("moses: ") + u_errorName(status));
    return out;
  }
  bool is_in(const UnicodeString& text) const {
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<icu::RegexMatcher> matcher(pattern_->matcher(text, status));
    return matcher->find();
  }

 private:
  std::shared_ptr<icu::RegexPattern> pattern_;
};

struct MosesRule {
  MosesPattern pattern;
  const char* with;
};
using MosesRules = std::vector<MosesRule>;

UnicodeString apply(const MosesRules& rules, UnicodeString text) {
  for (const MosesRule& rule : rules)
    text = rule.pattern.replace(text, UnicodeString::fromUTF8(rule.with));
  return text;
}

const MosesRules& punctuation_rules() {
  static const MosesRules rules = {{"\r", ""},
                                   {"\\(", " ("},
                                   {"\\)", ") "},
                                   {" +", " "},
                                   {"\\) ([.!:?;,])", ")$1"},
                                   {"\\( ", "("},
                                   {" \\)", ")"},
                                   {"(\\d) %", "$1%"},
                                   {" :", ":"},
                                   {" ;", ";"},
                                   {"`", "'"},
                                   {"''", " \" "},
                                   {"[„“”]", "\""},
                                   {"–", "-"},
                                   {"—", " - "},
                                   {" +", " "},
                                   {"´", "'"},
                                   {"([a-zA-Z])[‘’]([a-zA-Z])", "$1'$2"},
                                   {"[‘‚’]", "'"},
                                   {"''", "\""},
                                   {"…", "..."},
                                   {"\u00a0?«\u00a0?", "\""},
                                   {"\u00a0?»", "\""},
                                   {"\u00a0%", "%"},
                                   {"nº\u00a0", "nº "},
                                   {"\u00a0:", ":"},
                                   {"\u00a0ºC", " ºC"},
                                   {"\u00a0cm", " cm"},
                                   {"\u00a0([?!;])", "$1"},
                                   {",\u00a0", ", "},
                                   {" +", " "}};
  return rules;
}

const MosesRules& comma_quote_rules(Language language) {
  static const MosesRules english = {{"\"([,.]+)", "$1\""}, {"(\\d)\u00a0(\\d)", "$1.$2"}};
  static const MosesRules others = {
      {",\"", "\","}, {"(\\.+)\"(\\s*[^<])", "\"$1$2"}, {"(\\d)\u00a0(\\d)", "$1,$2"}};
  return language == Language::kEnglish ? english : others;
}

constexpr char16_t kDot = 0xFDD0;  // a noncharacter stands for a dot of "..."

const MosesRules& splitting_rules() {
  static const MosesRules rules = {{"\\s+", " "},
                                   {"[\\x00-\\x1f]", ""},
                                   {"^ +| +$", ""},
                                   {"([^\\p{Alphabetic}\\p{M}\\p{N}\\s.'`,\\-])", " $1 "}};
  return rules;
}

const MosesRules& comma_rules() {
  static const MosesRules rules = {
      {"(\\P{N}),", "$1 , "}, {",(\\P{N})", " , $1"}, {"(\\p{N}),$", "$1 , "}};
  return rules;
}

const MosesRules& apostrophe_rules(Language language) {
  static const MosesRules english = {{"(\\P{Alphabetic})'(\\P{Alphabetic})", "$1 ' $2"},
                                     {"([^\\p{Alphabetic}\\p{N}])'(\\p{Alphabetic})", "$1 ' $2"},
                                     {"(\\p{Alphabetic})'(\\P{Alphabetic})", "$1 ' $2"},
                                     {"(\\p{Alphabetic})'(\\p{Alphabetic})", "$1 '$2"},
                                     {"(\\p{N})'(s)", "$1 '$2"}};
  static const MosesRules french = {{"(\\P{Alphabetic})'(\\P{Alphabetic})", "$1 ' $2"},
                                    {"(\\P{Alphabetic})'(\\p{Alphabetic})", "$1 ' $2"},
                                    {"(\\p{Alphabetic})'(\\P{Alphabetic})", "$1 ' $2"},
                                    {"(\\p{Alphabetic})'(\\p{Alphabetic})", "$1' $2"}};
  static const MosesRules german = {{"'", " ' "}};
  if (language == Language::kGerman) return german;
  return language == Language::kEnglish ? english : french;
}

/// Runs of dots stay together: their dots are hidden from the rules for single ones.
UnicodeString hide_dots(const UnicodeString& text) {
  UnicodeString out;
  for (int32_t i = 0; i < text.length();) {
    int32_t end = i;
    while (end < text.length() && text[end] == u'.') ++end;
    if (end - i < 2) {
      out.append(text[i++]);
      continue;
    }
    out.append(u' ');
    for (; i < end; ++i) out.append(kDot);
    out.append(u' ');
  }
  return out;
}

const std::set<std::string>& abbreviations(Language language) {
  static const std::set<std::string> english = {
      "Mr",   "Mrs",  "Ms",  "Dr",  "Prof", "St",   "Jr",   "Sr",  "Gen", "Col",
      "Capt", "Lt",   "Sgt", "Rev", "Hon",  "Gov",  "Sen",  "Rep", "Inc", "Ltd",
      "Co",   "Corp", "vs",  "etc", "Mt",   "Ave",  "Blvd", "Jan", "Feb", "Mar",
      "Apr",  "Jun",  "Jul", "Aug", "Sep",  "Sept", "Oct",  "Nov", "Dec"};
  static const std::set<std::string> german = {
      "Hr",   "Hrn",  "Fr",  "Dr",   "Prof", "Dipl", "Ing", "Str", "St", "bzw", "bspw",
      "ca",   "evtl", "ggf", "inkl", "max",  "min",  "usw", "vgl", "Nr", "Abb", "Bd",
      "Hrsg", "Jan",  "Feb", "Apr",  "Aug",  "Sept", "Okt", "Nov", "Dez"};
  static const std::set<std::string> french = {
      "M",  "MM",  "Mme", "Mlle", "Dr",  "Pr",   "St",   "Ste",  "av",   "bd",  "cf",  "env", "etc",
      "ex", "hab", "max", "min",  "vol", "janv", "févr", "juil", "sept", "oct", "nov", "déc"};
  if (language == Language::kEnglish) return english;
  return language == Language::kGerman ? german : french;
}

std::vector<std::string> at_spaces(const UnicodeString& text) {
  static const MosesPattern space("\\s+");
  const std::string plain = from_icu(space.replace(text, " "));
  std::vector<std::string> out;
  for (std::size_t start = 0; start < plain.size();) {
    const std::size_t end = std::min(plain.find(' ', start), plain.size());
    if (end > start) out.push_back(plain.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

/// Does the dot of `word` + "." belong to it?
bool keeps_dot(const std::string& word, const std::string& next, Language language) {
  static const MosesPattern letter("\\p{Alphabetic}"), capital("^\\p{Lu}$"), lower("^\\p{Ll}");
  const UnicodeString text = to_icu(word);
  if (word.find('.') != std::string::npos && letter.is_in(text)) return true;
  if (abbreviations(language).contains(word) || capital.is_in(text)) return true;
  return lower.is_in(to_icu(next));
}

void split_dots(std::vector<std::string>& tokens, Language language) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::string& token = tokens[i];
    const bool has_dot = token.size() > 1 && token.back() == '.';
    const std::string word = token.substr(0, token.size() - 1);
    if (has_dot && !keeps_dot(word, i + 1 < tokens.size() ? tokens[i + 1] : "", language)) {
      out.push_back(word);
      out.emplace_back(".");
    } else {
      out.push_back(std::move(token));
    }
  }
  tokens = std::move(out);
}

/// Joins tokens from left to right; a token may refuse the space before or behind it.
class MosesJoiner {
 public:
  explicit MosesJoiner(Language language) : language_(language) {}

  void add(const std::vector<std::string>& tokens, std::size_t i) {
    static const MosesPattern currency("^[\\p{Sc}(\\[\\{¿¡]+$"),
        punctuation("^[,.?!:;\\\\%\\}\\])]+$"), contraction("^'\\p{Alphabetic}"),
        elision("\\p{Alphabetic}'$"), letter("^\\p{Alphabetic}"), quote("^['\"„“`]+$"),
        french_sign("^[?!:;\\\\%]$");
    const UnicodeString token = to_icu(tokens[i]);
    const bool is_last = i + 1 == tokens.size();
    if (currency.is_in(token)) return put(tokens[i], true, false);
    if (punctuation.is_in(token))
      return put(tokens[i], language_ == Language::kFrench && french_sign.is_in(token), true);
    if (language_ == Language::kEnglish && i > 0 && contraction.is_in(token))
      return put(tokens[i], false, true);
    if (language_ == Language::kFrench && !is_last && elision.is_in(token) &&
        letter.is_in(to_icu(tokens[i + 1])))
      return put(tokens[i], true, false);
    if (quote.is_in(token)) return add_quote(tokens, i);
    put(tokens[i], true, true);
  }

  std::string text() const { return text_; }

 private:
  void put(const std::string& token, bool before, bool behind) {
    if (before && wants_space_ && !text_.empty()) text_ += ' ';
    text_ += token;
    wants_space_ = behind;
  }

  void add_quote(const std::vector<std::string>& tokens, std::size_t i) {
    const std::string& token = tokens[i];
    const bool is_low = token.find_first_not_of("'`\"") != std::string::npos;  // „ or “
    int& count = quotes_[is_low ? "\"" : token];
    const bool is_possessive = language_ == Language::kEnglish && token == "'" && i > 0 &&
                               tokens[i - 1].ends_with('s') && count % 2 == 0;
    if (is_possessive) return put(token, false, true);
    const bool opens = count++ % 2 == 0;
    put(token, opens, !opens);
  }

  Language language_;
  std::string text_;
  bool wants_space_ = true;
  std::map<std::string, int> quotes_;
};

}  // namespace

Language language_of(std::string_view code) {
  if (code == "en") return Language::kEnglish;
  if (code == "de") return Language::kGerman;
  if (code == "fr") return Language::kFrench;
  fail_usage("moses: no rules for the language '" + std::string(code.substr(0, 20)) +
             "'; there are en, de, fr");
}

std::string moses_normalize(std::string_view text, Language language) {
  require_utf8(text, "a text to normalise");
  static const MosesRules trim_rules = {{"^\\s+|\\s+$", ""}};
  const UnicodeString plain = apply(punctuation_rules(), to_icu(text));
  return from_icu(apply(trim_rules, apply(comma_quote_rules(language), plain)));
}

std::vector<std::string> moses_tokenize(std::string_view text, Language language) {
  require_utf8(text, "a text to tokenise");
  UnicodeString apart = hide_dots(apply(splitting_rules(), to_icu(text)));
  apart = apply(apostrophe_rules(language), apply(comma_rules(), apart));
  std::vector<std::string> tokens = at_spaces(apart);
  split_dots(tokens, language);
  std::vector<std::string> out;
  for (const std::string& token : tokens) {
    UnicodeString shown = to_icu(token);
    out.push_back(from_icu(shown.findAndReplace(UnicodeString(kDot), UnicodeString(u'.'))));
  }
  return out;
}

std::string moses_detokenize(const std::vector<std::string>& tokens, Language language) {
  for (const std::string& token : tokens) require_utf8(token, "a token");
  MosesJoiner joiner(language);
  for (std::size_t i = 0; i < tokens.size(); ++i) joiner.add(tokens, i);
  return joiner.text();
}

}  // namespace attend::data
