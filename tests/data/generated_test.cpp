// Killed mutations: a zero of "forty" without its link to the word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "attend/data/parallel.h"

namespace attend::data {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

/// The value of a number in words, from the right: an independent reading.
std::int64_t value_of(const std::vector<std::string>& words) {
  static const std::vector<std::string> ones = {
      "zero",     "one",     "two",     "three",     "four",     "five",    "six",
      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const std::vector<std::string> tens = {"twenty", "thirty",  "forty",  "fifty",
                                                "sixty",  "seventy", "eighty", "ninety"};
  std::int64_t thousands = 0, group = 0;
  for (const std::string& word : words) {
    const auto one = std::find(ones.begin(), ones.end(), word);
    const auto ten = std::find(tens.begin(), tens.end(), word);
    if (one != ones.end()) group += one - ones.begin();
    if (ten != tens.end()) group += 10 * (ten - tens.begin() + 2);
    if (word == "hundred") group *= 100;
    if (word == "thousand") thousands = group, group = 0;
  }
  return 1000 * thousands + group;
}

void expect_links_in_range(const SentencePair& pair) {
  const auto source = static_cast<std::int64_t>(words_of(pair.source).size());
  const auto target = static_cast<std::int64_t>(words_of(pair.target).size());
  std::vector<int> links(static_cast<std::size_t>(target));
  for (const Link& link : pair.alignment) {
    ASSERT_LT(link.source, source);
    ASSERT_LT(link.target, target);
    ++links[static_cast<std::size_t>(link.target)];
  }
  for (const int n : links) EXPECT_GT(n, 0) << pair.source << " | " << pair.target;
  EXPECT_EQ(parse_pharaoh(to_pharaoh(pair.alignment)), pair.alignment);
}

TEST(NumberWords, WordsAreTheNumber) {
  const ParallelCorpus corpus = make_number_words({3000, 1});
  EXPECT_EQ(corpus.train.pairs.size(), 2400U);
  EXPECT_EQ(corpus.test.pairs.size(), 300U);
  std::set<std::string> seen;
  int short_ones = 0;
  for (const ParallelSet* set : {&corpus.train, &corpus.validation, &corpus.test})
    for (const SentencePair& pair : set->pairs) {
      std::string digits = pair.target;
      std::erase(digits, ' ');
      EXPECT_EQ(std::to_string(value_of(words_of(pair.source))), digits) << pair.source;
      EXPECT_TRUE(seen.insert(digits).second) << digits << " twice";
      expect_links_in_range(pair);
      short_ones += digits.size() <= 3;
    }
  EXPECT_GT(short_ones, 600);
}

/// The pair of one number, wherever it fell.
SentencePair find_number(const std::string& digits, bool to_words = false) {
  static const ParallelCorpus plain = make_number_words({20'000, 0}, false);
  static const ParallelCorpus turned = make_number_words({20'000, 0}, true);
  const ParallelCorpus& corpus = to_words ? turned : plain;
  for (const ParallelSet* set : {&corpus.train, &corpus.validation, &corpus.test})
    for (const SentencePair& pair : set->pairs)
      if ((to_words ? pair.source : pair.target) == digits) return pair;
  return {};
}

TEST(NumberWords, KnownLinks) {
  const SentencePair a = find_number("3 0 5");
  EXPECT_EQ(a.source, "three hundred and five");
  EXPECT_EQ(to_pharaoh(a.alignment), "0-0 0?1 1?1 2?1 3?1 3-2");
  EXPECT_EQ(to_pharaoh(find_number("4 0").alignment), "0-0 0-1");
  EXPECT_EQ(find_number("1 7").source, "seventeen");
  EXPECT_EQ(to_pharaoh(find_number("1 7").alignment), "0-0 0-1");
  EXPECT_EQ(find_number("0").source, "zero");
  EXPECT_EQ(to_pharaoh(find_number("9 0 0").alignment), "0-0 0?1 1?1 0?2 1?2");
  const SentencePair back = find_number("3 0 5", true);
  EXPECT_EQ(back.target, "three hundred and five");
  EXPECT_EQ(to_pharaoh(back.alignment), "0-0 1?0 1?1 1?2 1?3 2-3 0?1 2?2");
}

TEST(Dates, FormsMeanTheDay) {
  const ParallelCorpus corpus = make_dates({3000, 2});
  static const std::vector<std::string> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::set<std::string> days, forms;
  for (const ParallelSet* set : {&corpus.train, &corpus.validation, &corpus.test})
    for (const SentencePair& pair : set->pairs) {
      const auto words = words_of(pair.source);
      EXPECT_TRUE(days.insert(pair.target).second) << pair.target << " twice";
      expect_links_in_range(pair);
      std::map<std::int64_t, std::string> from;  // digits by the word that they come from
      const auto digits = words_of(pair.target);
      for (const Link& link : pair.alignment)
        if (link.is_sure) from[link.source] += digits[static_cast<std::size_t>(link.target)];
      ASSERT_EQ(from.size(), 3U);
      std::string form;
      for (const auto& [place, text] : from) {
        const std::string& word = words[static_cast<std::size_t>(place)];
        const auto month = std::find(months.begin(), months.end(), word.substr(0, 3));
        const int value = month != months.end() ? static_cast<int>(month - months.begin()) + 1
                                                : std::atoi(word.c_str());
        EXPECT_EQ(value, std::stoi(text)) << pair.source << " | " << pair.target;
        form += std::to_string(place) + (month != months.end() ? "m"
                                         : text.size() == 4    ? "y"
                                                               : "d");
      }
      forms.insert(form + std::to_string(words.size()));
    }
  EXPECT_GE(forms.size(), 8U);
}

}  // namespace
}  // namespace attend::data
