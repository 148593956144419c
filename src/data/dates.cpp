// Days in many written forms and as ISO 8601. The forms leave no doubt about which number is the
// day and which the month.
#include <array>
#include <chrono>
#include <unordered_set>

#include "attend/base/random.h"
#include "data/generated.h"

namespace attend::data {
namespace {

constexpr std::array kMonths = {"January",   "February", "March",    "April",
                                "May",       "June",     "July",     "August",
                                "September", "October",  "November", "December"};
constexpr std::array kWeekdays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                  "Thursday", "Friday", "Saturday"};

/// What a token of a form stands for: W weekday, w weekday in three letters, D day, O day with its
/// ordinal ending, M month, m month in three letters, N month as a number, n the same with two
/// digits, d day with two digits, Y year; any other token is itself.
using Form = std::vector<std::string_view>;
const std::array kForms = {
    Form{"D", "M", "Y"},
    Form{"M", "D", ",", "Y"},
    Form{"the", "O", "of", "M", "Y"},
    Form{"W", ",", "D", "M", "Y"},
    Form{"W", "the", "O", "of", "M", ",", "Y"},
    Form{"D", ".", "N", ".", "Y"},
    Form{"Y", "/", "n", "/", "d"},
    Form{"w", ",", "m", "D", "Y"},
    Form{"d", "-", "m", "-", "Y"},
    Form{"in", "Y", "on", "M", "O"},
};

std::string two_digits(unsigned n) { return (n < 10 ? "0" : "") + std::to_string(n); }

std::string ordinal(unsigned n) {
  const bool is_teen = n / 10 == 1;
  const unsigned last = is_teen ? 0 : n % 10;
  return std::to_string(n) + (last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th");
}

enum class Part { kNone, kYear, kMonth, kDay };

struct DateToken {
  std::string text;
  Part part = Part::kNone;
};

DateToken date_token(std::string_view what, const std::chrono::sys_days& time) {
  const std::chrono::year_month_day date(time);
  const auto day = static_cast<unsigned>(date.day());
  const auto month = static_cast<unsigned>(date.month());
  const char* weekday = kWeekdays[std::chrono::weekday(time).c_encoding()];
  if (what == "W") return {weekday};
  if (what == "w") return {std::string(weekday, 3)};
  if (what == "D") return {std::to_string(day), Part::kDay};
  if (what == "d") return {two_digits(day), Part::kDay};
  if (what == "O") return {ordinal(day), Part::kDay};
  if (what == "M") return {kMonths[month - 1], Part::kMonth};
  if (what == "m") return {std::string(kMonths[month - 1], 3), Part::kMonth};
  if (what == "N") return {std::to_string(month), Part::kMonth};
  if (what == "n") return {two_digits(month), Part::kMonth};
  if (what == "Y") return {std::to_string(static_cast<int>(date.year())), Part::kYear};
  return {std::string(what)};
}

SentencePair date_pair(const std::chrono::sys_days& time, const Form& form) {
  const std::chrono::year_month_day date(time);
  SentencePair out;
  std::int64_t year = 0, month = 0, day = 0, tokens = 0;
  for (const std::string_view what : form) {
    const DateToken token = date_token(what, time);
    add_token(out.source, token.text);
    if (token.part == Part::kYear) year = tokens;
    if (token.part == Part::kMonth) month = tokens;
    if (token.part == Part::kDay) day = tokens;
    ++tokens;
  }
  const std::string iso = std::to_string(static_cast<int>(date.year())) + "-" +
                          two_digits(static_cast<unsigned>(date.month())) + "-" +
                          two_digits(static_cast<unsigned>(date.day()));
  for (std::size_t i = 0; i < iso.size(); ++i) {
    const auto target = static_cast<std::int64_t>(i);
    add_token(out.target, std::string_view(iso).substr(i, 1));
    if (iso[i] != '-')
      out.alignment.push_back({i < 4 ? year : i < 7 ? month : day, target});
    else
      for (std::int64_t s = 0; s < tokens; ++s) out.alignment.push_back({s, target, false});
  }
  return out;
}

}  // namespace

ParallelCorpus make_dates(const MakeOptions& options) {
  using namespace std::chrono;
  require_rows("dates", options.rows, 50'000);
  const sys_days first = year(1900) / January / 1;
  const auto days =
      static_cast<std::uint64_t>((sys_days(year(2100) / January / 1) - first).count());
  Random random(options.seed, Purpose::kGenerate);
  std::unordered_set<std::uint64_t> seen;
  std::vector<SentencePair> pairs;
  while (pairs.size() < static_cast<std::size_t>(options.rows)) {
    const std::uint64_t day = random.below(days);
    if (!seen.insert(day).second) continue;
    const Form& form = kForms[static_cast<std::size_t>(random.below(kForms.size()))];
    pairs.push_back(date_pair(first + std::chrono::days(day), form));
  }
  return split_pairs(std::move(pairs), "dates", options.seed);
}

}  // namespace attend::data
