// Numbers in words and in digits. Cardinals below a million, as they are said in Britain: "three
// hundred and five", "one thousand and two"; "forty five" without a hyphen, so that a word is a
// token.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/parallel.h"
#include "data/generated.h"

namespace attend::data {
namespace {

constexpr std::uint64_t kNumbers = 1'000'000;
constexpr std::array kOnes = {"zero",    "one",     "two",       "three",    "four",
                              "five",    "six",     "seven",     "eight",    "nine",
                              "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                              "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array kTens = {"",      "",      "twenty",  "thirty", "forty",
                              "fifty", "sixty", "seventy", "eighty", "ninety"};

/// A word and the decimal places (0 = ones) of the digits that it names; none for "and", "hundred"
/// and "thousand".
struct NumberWord {
  const char* word;
  std::vector<std::int64_t> places;
};

/// Appends the words of a number below 1,000 whose ones stand at decimal place `place`.
void say_below_thousand(std::vector<NumberWord>& out, std::uint64_t n, std::int64_t place) {
  if (n >= 100) {
    out.push_back({kOnes[n / 100], {place + 2}});
    out.push_back({"hundred", {}});
  }
  n %= 100;
  if (n > 0 && !out.empty()) out.push_back({"and", {}});  // behind "hundred" or "thousand"
  if (n >= 20) {
    out.push_back({kTens[n / 10], n % 10 == 0 ? std::vector<std::int64_t>{place + 1, place}
                                              : std::vector<std::int64_t>{place + 1}});
    n %= 10;
    if (n > 0) out.push_back({kOnes[n], {place}});
  } else if (n >= 10) {
    out.push_back({kOnes[n], {place + 1, place}});
  } else if (n > 0) {
    out.push_back({kOnes[n], {place}});
  }
}

std::vector<NumberWord> say(std::uint64_t n) {
  std::vector<NumberWord> out;
  if (n == 0) return {{kOnes[0], {0}}};
  if (n >= 1000) {
    say_below_thousand(out, n / 1000, 3);
    out.push_back({"thousand", {}});
  }
  say_below_thousand(out, n % 1000, 0);
  return out;
}

/// Links a zero that no word names to the words between which it would stand: from the last that
/// names a higher place to the first that names a lower one.
void link_unnamed(Alignment& out, const std::vector<NumberWord>& words, std::int64_t place,
                  std::int64_t digit) {
  std::size_t first = 0;
  std::size_t last = words.size() - 1;
  for (std::size_t w = 0; w < words.size(); ++w) {
    if (words[w].places.empty()) continue;
    if (words[w].places.back() > place) first = w;
    if (words[w].places.front() < place) {
      last = w;
      break;
    }
  }
  for (std::size_t w = first; w <= last; ++w)
    out.push_back({static_cast<std::int64_t>(w), digit, false});
}

SentencePair number_pair(std::uint64_t n, bool to_words) {
  const std::string digits = std::to_string(n);
  const std::vector<NumberWord> words = say(n);
  const auto size = static_cast<std::int64_t>(digits.size());
  SentencePair out;
  for (const char digit : digits) add_token(out.target, std::string_view(&digit, 1));
  for (const NumberWord& word : words) add_token(out.source, word.word);
  for (std::int64_t digit = 0; digit < size; ++digit) {
    const std::int64_t place = size - 1 - digit;
    const auto names = [&](const NumberWord& word) {
      return std::find(word.places.begin(), word.places.end(), place) != word.places.end();
    };
    const auto word = std::find_if(words.begin(), words.end(), names);
    if (word != words.end())
      out.alignment.push_back({word - words.begin(), digit});
    else
      link_unnamed(out.alignment, words, place, digit);
  }
  if (!to_words) return out;
  std::swap(out.source, out.target);
  for (Link& link : out.alignment) std::swap(link.source, link.target);
  // A word that names no digit is possible with those that the words beside it name.
  for (std::size_t w = 0; w < words.size(); ++w) {
    if (!words[w].places.empty()) continue;
    for (const std::size_t beside : {w - 1, w + 1}) {
      if (beside >= words.size()) continue;
      for (const std::int64_t place : words[beside].places) {
        const Link link{size - 1 - place, static_cast<std::int64_t>(w), false};
        if (std::find(out.alignment.begin(), out.alignment.end(), link) == out.alignment.end())
          out.alignment.push_back(link);
      }
    }
  }
  return out;
}

/// As many one-digit numbers as six-digit ones are tried, so that short ones occur at all.
std::uint64_t draw_number(Random& random) {
  std::uint64_t limit = 10;
  for (std::uint64_t digits = random.below(6); digits > 0; --digits) limit *= 10;
  return random.below(limit);
}

}  // namespace

ParallelCorpus make_number_words(const MakeOptions& options, bool to_words) {
  require_rows("number-words", options.rows, kNumbers / 2);
  Random random(options.seed, Purpose::kGenerate);
  std::unordered_set<std::uint64_t> seen;
  std::vector<SentencePair> pairs;
  constexpr int kTries = 20;
  while (pairs.size() < static_cast<std::size_t>(options.rows)) {
    std::uint64_t n = draw_number(random);
    for (int t = 1; t < kTries && seen.contains(n); ++t) n = draw_number(random);
    while (seen.contains(n)) n = random.below(kNumbers);  // the short ones have run out
    seen.insert(n);
    pairs.push_back(number_pair(n, to_words));
  }
  return split_pairs(std::move(pairs), to_words ? "number-words:to-words" : "number-words",
                     options.seed);
}

}  // namespace attend::data
