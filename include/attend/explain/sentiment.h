#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/explain/agreement.h"
#include "attend/explain/self_attention.h"
#include "attend/models/classifier.h"

/// What a sentence classifier looked at, and what changed its answer.
namespace attend::explain {

/// One word of a text as a reader sees it, and as the model does.
struct Word {
  std::string text;       // surface form, UTF-8
  std::int64_t id = 0;    // the tokenizer's; 0: none (unknown, and no out-of-vocabulary id)
  bool unknown = false;   // not in the vocabulary; with id > 0 read as the out-of-vocabulary word
  bool deciding = false;  // generated data: this word decides the label
};

struct Input {
  std::vector<Word> words;
  std::int64_t label = -1;  // what the data say; −1: not known
};

/// What became of a word on its way into the model.
enum class Seen {
  kSeen,     // in the vocabulary, read
  kUnknown,  // read as the out-of-vocabulary word
  kDropped,  // not in the vocabulary, left out
  kCut,      // beyond the model's max_length
};

/// Which end of a long text is cut. Keras' pad_sequences cuts the front unless told otherwise.
enum class Truncate { kFront, kBack };
/// Where padding goes in a model that reads it (with mask_padding it is never read).
enum class Padding { kFront, kBack };

struct Options {
  Truncate truncate = Truncate::kFront;
  Padding padding = Padding::kBack;
  std::int64_t shuffles = 1000;  // per pair of measures
  std::uint64_t seed = 1;        // of the shuffles
  std::int64_t batch = 512;      // rows a forward pass, shared by variants of many sentences
  bool gradients = true;         // false: gradient_x_input stays empty
  bool self_attention = true;  // false: it stays empty (many heads of many words take much memory)
};

/// Every vector has one entry a word; NaN at words that the model did not see. An empty vector was
/// not measured.
struct SentenceExplanation {
  std::vector<Word> words;
  std::vector<Seen> seen;
  std::int64_t label = -1;            // as in Input
  std::int64_t predicted = 0;         // the class with the largest probability
  double probability = 0;             // of the predicted class
  std::vector<double> probabilities;  // of every class

  /// Empty without attention; with attention_on_padding sums to 1. Of an LSTMN that does not pool, what its last step looked back
  /// on in its last layer: NaN at the word which that step read.
  std::vector<double> attention;
  bool pools = false;                         // attention is pooling's
  std::vector<SelfAttention> self_attention;  // of an LSTMN or BERT, over words
  double attention_on_padding = 0;  // what fell on padding (a model that does not mask it)
  std::int64_t padding = 0;         // padded places that the model reads
  double entropy = 0;               // bits, over the words' attention scaled to sum 1
  /// Least and most over all given models with attention; empty with fewer than two.
  std::vector<double> attention_low, attention_high;
  double seed_agreement = 0;  // mean pairwise τ-b of the models' attention; NaN with one model

  std::vector<double> leave_one_out;  // P(predicted) − what_if: positive speaks for the answer
  std::vector<double> what_if;        // P(predicted | word deleted)
  std::vector<std::int64_t> what_if_label;  // the answer without the word; −1 where not seen
  /// Σ_e x_te ∂z/∂x_te, z the logit of the predicted class against the rest.
  std::vector<double> gradient_x_input;

  /// Rank agreements of magnitudes; tau NaN where a side is missing.
  Agreement attention_leave_one_out, attention_gradient, leave_one_out_gradient;
  Verdict verdict = Verdict::kNoAttention;
};

/// Explains every input with models[0]; further models (the same system trained with other seeds,
/// same vocabulary) give the attention's range and seed-to-seed agreement.
///
/// Deleting a word means: the text without it, encoded as the model would meet it. What follows
/// moves up by one place, one more padded place appears, and where the text was cut the
/// nearest cut word moves in. Two occurrences of a word are deleted one at a time. A sentence whose
/// only word is deleted is all padding (length 0). gradient × input is taken at the embedded words
/// by one backward pass; z is the logit for two classes (negated when the answer is class 0), z_c −
/// logsumexp of the others for more.
///
/// Models run without dropout; parameters' gradients are left as they were. No models, or a NULL
/// one: kUsage. A word id outside 0…vocabulary: kBadInput naming word and id. A sentence without a
/// seen word: probabilities of the empty sentence, NaN measures. Cost: about (words + 2) forward
/// rows and one backward row a sentence.
std::vector<SentenceExplanation> explain_sentences(const std::vector<models::Classifier*>& models,
                                                   const std::vector<Input>& inputs,
                                                   const Options& options = {});
SentenceExplanation explain_sentence(models::Classifier& model, const Input& input,
                                     const Options& options = {});

/// Adds to an explanation of this input the self-attention that it was made without.
void add_self_attention(SentenceExplanation& explanation, models::Classifier& model,
                        const Input& input, const Options& options = {});

/// Answers alone (class and probabilities), for "the model without attention says …".
struct Answer {
  std::int64_t predicted = 0;
  double probability = 0;
};
std::vector<Answer> answers(models::Classifier& model, const std::vector<Input>& inputs,
                            const Options& options = {});

/// Share of inputs with a label ≥ 0 that the model gets right, with Wilson's 95 % interval.
Interval accuracy(models::Classifier& model, const std::vector<Input>& inputs,
                  const Options& options = {});
/// The same with every attention weight held equal (Pass::uniform_attention): what the choice of
/// weights is worth. NaN when the model has no attention.
Interval accuracy_with_uniform_attention(models::Classifier& model,
                                         const std::vector<Input>& inputs,
                                         const Options& options = {});

/// Over many sentences: medians of the agreements, and on generated data how much of each measure
/// falls on deciding words.
struct Summary {
  std::int64_t sentences = 0;
  double median_tau = 0;  // attention with |leave-one-out|, where it is defined; else NaN
  double median_seed_agreement = 0;  // NaN with one model
  double mean_attention_on_padding = 0;
  std::int64_t with_truth = 0;  // sentences with at least one seen deciding word
  /// Mean over those of Σ_deciding |m| / Σ |m| for each measure m (attention: of the weight on
  /// words); NaN where missing. `words`: the share of seen words that decide, which is what a
  /// measure without knowledge reaches.
  double words = 0, attention = 0, leave_one_out = 0, gradient_x_input = 0;
};
Summary summarise(const std::vector<SentenceExplanation>& explanations);

}  // namespace attend::explain
