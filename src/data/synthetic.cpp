#include <algorithm>
#include <unordered_set>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/catalogue.h"

namespace attend::data {
namespace {

// The grammar. One clause decides: subject, verb, maybe a negation (which turns the label round),
// maybe an intensifier, then a sentiment word. Around it stand clauses without sentiment, and at
// times what somebody else said: a sentiment word that decides nothing, drawn without regard to the
// label. Counting words is therefore not enough.
using Words = std::vector<const char*>;
const Words kPositive = {"good",     "great",     "excellent", "lovely",   "superb",  "wonderful",
                         "pleasant", "brilliant", "charming",  "splendid", "perfect", "delightful"};
const Words kNegative = {"bad",    "awful",    "terrible", "poor",       "horrible", "dreadful",
                         "boring", "annoying", "useless",  "disgusting", "dull",     "shabby"};
const Words kSubjects = {"The battery", "The screen", "This phone", "The story",   "The waiter",
                         "The soup",    "The sound",  "The plot",   "The service", "The camera",
                         "This film",   "The room",   "The music",  "The bread",   "The keyboard"};
const Words kVerbs = {"is", "was", "seems", "looks", "felt", "turned out"};
const Words kNegations = {"not", "never", "hardly"};
const Words kIntensifiers = {"very", "really", "quite", "rather", "truly"};
const Words kHearsay = {"My brother called it",      "The advert promised something",
                        "I had expected something",  "A friend had said it was",
                        "Somebody online called it", "The last one I had was"};
const Words kFillers = {
    "I bought it on Monday",       "We went there with two friends", "It came in a small brown box",
    "The colour is dark blue",     "I read about it in the paper",   "We sat by the window",
    "It took about an hour",       "The shop is near the station",   "My sister has one as well",
    "It was raining that evening", "I have used it for three weeks", "They opened in the spring"};

constexpr double kNegated = 0.3;
constexpr double kIntensified = 0.35;
constexpr double kHasHearsay = 0.4;

struct Sentence {
  std::string text;
  std::vector<double> truth;
};

/// Appends words (split at spaces), all of them deciding or none.
void add(Sentence& sentence, std::string_view words, bool decides) {
  if (!sentence.text.empty()) sentence.text += ' ';
  sentence.text += words;
  const auto n = 1 + std::count(words.begin(), words.end(), ' ');
  sentence.truth.insert(sentence.truth.end(), static_cast<std::size_t>(n), decides ? 1.0 : 0.0);
}

const char* pick(Random& random, const Words& words) {
  return words[static_cast<std::size_t>(random.below(words.size()))];
}

Sentence deciding_clause(Random& random, bool is_positive) {
  Sentence out;
  add(out, pick(random, kSubjects), false);
  add(out, pick(random, kVerbs), false);
  const bool is_negated = random.uniform() < kNegated;
  if (is_negated) add(out, pick(random, kNegations), true);
  if (random.uniform() < kIntensified) add(out, pick(random, kIntensifiers), false);
  add(out, pick(random, is_positive != is_negated ? kPositive : kNegative), true);
  return out;
}

Sentence hearsay(Random& random) {
  Sentence out;
  add(out, pick(random, kHearsay), false);
  add(out, pick(random, random.below(2) == 0 ? kPositive : kNegative), false);
  return out;
}

Sentence review(Random& random, bool is_positive) {
  std::vector<Sentence> clauses = {deciding_clause(random, is_positive)};
  if (random.uniform() < kHasHearsay) clauses.push_back(hearsay(random));
  const std::uint64_t fillers = random.below(3);
  const std::uint64_t first = random.below(kFillers.size());
  for (std::uint64_t i = 0; i < fillers; ++i) {  // two of one review are never the same
    clauses.emplace_back();
    add(clauses.back(), kFillers[static_cast<std::size_t>((first + 5 * i) % kFillers.size())],
        false);
  }
  for (std::size_t i = clauses.size(); i > 1; --i)
    std::swap(clauses[i - 1], clauses[static_cast<std::size_t>(random.below(i))]);
  Sentence out;
  for (const Sentence& clause : clauses) {
    out.text += (out.text.empty() ? "" : " ") + clause.text + ".";
    out.truth.insert(out.truth.end(), clause.truth.begin(), clause.truth.end());
  }
  return out;
}

std::vector<std::int64_t> shuffled_labels(const MakeOptions& options) {
  std::vector<std::int64_t> labels(static_cast<std::size_t>(options.rows));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = i % 2;
  Random random(options.seed, Purpose::kShuffle);
  for (std::size_t i = labels.size(); i > 1; --i)
    std::swap(labels[i - 1], labels[static_cast<std::size_t>(random.below(i))]);
  return labels;
}

}  // namespace

Dataset make_synthetic_reviews(const MakeOptions& options) {
  if (options.rows < 2 || options.rows > 10'000'000)
    fail_usage("synthetic-reviews: rows is " + std::to_string(options.rows) + "; give 2…10000000");
  Dataset out;
  out.name = "synthetic-reviews";
  out.label_names = {"negative", "positive"};
  const std::vector<std::int64_t> labels = shuffled_labels(options);
  std::unordered_set<std::string> seen;  // a text in both training and test would be a leak
  constexpr int kTries = 20;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    Random random(options.seed, Purpose::kGenerate, i);
    Sentence sentence = review(random, labels[i] == 1);
    for (int t = 1; t < kTries && !seen.insert(sentence.text).second; ++t)
      sentence = review(random, labels[i] == 1);
    out.examples.push_back({std::move(sentence.text), labels[i], "", "synthetic-reviews",
                            static_cast<std::int64_t>(i) + 1, std::move(sentence.truth)});
  }
  return out;
}

}  // namespace attend::data
