#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// Pictures of a sentence classifier's attention from plain arrays: a self-contained page, SVG,
/// terminal. No tensors here.
namespace attend::viz {

/// "Not measured", for every double below. Vectors that were not measured are empty.
inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// A number and its 95 % interval.
struct Interval {
  double value = kMissing, low = kMissing, high = kMissing;
};

/// What became of a word on its way into the model.
enum class WordState { kSeen, kUnknown, kDropped, kCut };

struct Word {
  std::string text;  // any bytes: invalid UTF-8 is shown as U+FFFD
  WordState state = WordState::kSeen;
  bool deciding = false;  // generated data: this word decides the label
};

/// Rank agreement (Kendall τ-b of magnitudes) with the band that holds 95 % of shuffles.
struct Agreement {
  double tau = kMissing, chance = kMissing, band_low = kMissing, band_high = kMissing;
};

/// In the order of explain::Verdict.
enum class Verdict {
  kNoAttention,
  kOneWord,
  kAllEqual,
  kFewWords,
  kNoEffect,
  kDisagree,
  kWeak,
  kInPart,
  kWell
};

/// What another model says about the same sentence.
struct OtherAnswer {
  std::string model;
  std::int64_t predicted = 0;
  double probability = kMissing;
};

/// Self-attention of one layer and head: [token][token looked at], square, NaN where the model may not look.
struct AttentionMap {
  std::int64_t layer = 0, head = 0;
  std::vector<std::vector<double>> weights;
};

/// One explained sentence. Per-word vectors have one entry a word, NaN at words that the model did
/// not see, or are empty.
struct Sentence {
  std::int64_t id = 0;  // place in the data, 1-based; names the sentence in address and file names
  std::vector<Word> words;
  std::int64_t label = -1;  // index into label_names; −1: not known
  std::int64_t predicted = 0;
  double probability = kMissing;  // of the predicted class
  std::vector<double> attention, attention_low, attention_high;
  std::vector<AttentionMap> maps;  // self-attention over the words, of each layer and head
  double attention_on_padding = 0;
  std::int64_t padding = 0;  // padded places that the model could attend to
  double seed_agreement = kMissing;
  std::vector<double> leave_one_out;        // P(predicted) lost when the word is deleted
  std::vector<double> what_if;              // P(predicted) without the word
  std::vector<std::int64_t> what_if_label;  // the answer without the word
  std::vector<double> gradient_x_input;
  Agreement attention_leave_one_out, attention_gradient, leave_one_out_gradient;
  Verdict verdict = Verdict::kNoAttention;
  std::vector<OtherAnswer> others;
};

/// One model over seeds, for the comparison at the head of the page.
struct ModelRuns {
  std::string name;                // "LSTM", "LSTM with attention"
  std::string about;               // a few words: "17,345 weights"
  std::vector<double> accuracies;  // on that split, 0…1; every model in the same order of seeds
};

struct SentimentReport {
  std::string run;                  // "guide/sentiment-lstm-attention"
  std::string model, model_detail;  // "LSTM 100, attention pooling", "63,000 weights"
  std::string data, data_detail;    // "hutto-reviews", "last 20 %, 742 sentences, not trained on"
  std::string trained;              // "10 epochs"; may be empty
  bool sample = false;              // says at the top that everything is invented
  std::int64_t seed = 0;            // of the model whose sentences are shown
  std::vector<std::int64_t> seeds;  // of the attention ranges and the comparison
  std::int64_t test_size = 0;  // sentences of the split that was judged (the report may hold fewer)
  Interval accuracy;
  Interval uniform_accuracy;     // with attention held equal
  double majority = kMissing;    // share of the commoner label in that split
  double median_tau = kMissing;  // attention with |leave-one-out| over that split
  double median_seed_agreement = kMissing;
  double mean_attention_on_padding = kMissing;
  std::vector<std::string> label_names;  // {"negative","positive"}
  std::vector<ModelRuns> models;         // empty: no comparison
  /// Accuracy of models.back() − models.front(), mean over seeds (explain::paired_difference).
  Interval difference;
  std::vector<Sentence> sentences;
};

/// ONE self-contained HTML file (UTF-8): style, script and data inside, no network, a content
/// security policy that allows only them (by SHA-256). The data enter the page as JSON with `<`
/// escaped and reach it through textContent only. Works from file://. Throws kUsage when a vector's
/// length differs from its sentence's words, or a label is out of range. Cost: O(bytes).
std::string html(const SentimentReport& report);

/// One sentence as a stand-alone SVG: shaded words over a line for their effect, the verdict, a row
/// of bars a word. Always light; real text.
std::string svg(const Sentence& sentence, const std::vector<std::string>& label_names);

/// The same picture as the bytes of a PNG file, two pixels to a point (less where that would be over
/// 32,767 pixels high; kUsage where one is). librsvg is loaded at the first call: kFailure where the
/// machine lacks it. Liberation Sans, Arial or Helvetica has the widths that words are spaced by.
std::string png(const Sentence& sentence, const std::vector<std::string>& label_names);

/// What comparing models.front() with models.back() over seeds can show: a headline and its
/// reasons. Empty with fewer than two models.
struct ComparisonText {
  std::string title, lead, why;
};
ComparisonText comparison_text(const SentimentReport& report);

/// The verdict's headline, and what follows from it for the reader.
struct VerdictText {
  std::string lead, why;
};
VerdictText verdict_text(const Sentence& sentence);

/// A warning about the whole report: most sentences' weights are nearly equal, so that the shading
/// says nothing. Empty when there is nothing to warn of.
VerdictText overall_text(const SentimentReport& report);

}  // namespace attend::viz
