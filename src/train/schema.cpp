#include "train/schema.h"

#include "train/schema_keys.h"

namespace attend::train {
namespace {

void add_train(std::vector<SchemaEntry>& s) {
  s.push_back(whole("train.seed", FIELD(train.seed), 0, 9.0e15,
                    "seed of initial weights, order and dropout"));
  s.push_back(
      whole("train.epochs", FIELD(train.epochs), 1, kMany, "passes over the training rows"));
  s.push_back(whole("train.batch", FIELD(train.batch), 1, kMany,
                    "rows that are differentiated together, B"));
  s.push_back(whole("train.accumulate", FIELD(train.accumulate), 1, 1e6,
                    "batches of a step, N: the same as one of N · B rows, in the memory of B"));
  s.push_back(flag("train.shuffle", FIELD(train.shuffle), "new order of rows in each epoch"));
  s.push_back(real("train.clip_norm", FIELD(train.clip_norm), 0, kMany,
                   "largest global norm of the gradient; 0 = no limit"));
  s.push_back(whole("train.early_stopping.patience", FIELD(train.patience), 0, kMany,
                    "epochs without improvement before the training ends; 0 = never"));
  s.push_back(
      choice("train.early_stopping.metric", FIELD(train.watch),
             {"loss", "accuracy", "f1", "bleu", "exact_match", "bleu4", "cider", "pointing"},
             "validation metric that must improve"));
  s.push_back(real("train.early_stopping.min_delta", FIELD(train.min_delta), 0, kMany,
                   "smallest change that counts as improvement"));
  s.push_back(flag("train.early_stopping.restore_best", FIELD(train.restore_best),
                   "keep the weights of the best epoch (only with patience > 0)"));
  s.push_back(whole("train.checkpoint_every", FIELD(train.checkpoint_every), 0, kMany,
                    "epochs between checkpoints; 0 = only when interrupted"));
  s.push_back(real("train.checkpoint_seconds", FIELD(train.checkpoint_seconds), 0, kMany,
                   "least seconds between two of them"));
  s.push_back(whole("train.keep", FIELD(train.keep), 1, 1000, "checkpoints kept, newest first"));
  s.push_back(whole(
      "train.average", FIELD(train.average), 1, kMany,
      "last epochs whose weights are averaged into the model's, at most all; needs patience = 0"));
  const std::size_t multiplied = s.size();
  s.push_back(choice("train.precision", FIELD(train.precision), {"float32", "bfloat16"},
                     "transformer: numbers of the matrix products of its layers and of the "
                     "vocabulary; weights, sums and all else stay float32"));
  only_for(s, multiplied, kTokens);
  const std::size_t translated = s.size();
  s.push_back(real("train.label_smoothing", FIELD(train.label_smoothing), 0, 0.99,
                   "share of the target's probability spread over the vocabulary"));
  only_for(s, translated, kTranslate);
  const std::size_t written = s.size();
  s.push_back(whole("train.decode_rows", FIELD(train.decode_rows), 0, kMany,
                    "validation rows for which a text is written after each epoch, greedily, for "
                    "metrics of what is written"));
  only_for(s, written, kSentences);
  const std::size_t captioned = s.size();
  s.push_back(real("train.doubly_stochastic", FIELD(train.doubly_stochastic), 0, 1e6,
                   "soft: weight of the penalty on places that are not looked at once in all"));
  only_for(s, captioned, kCaption);
  const std::size_t chosen = s.size();
  s.push_back(real("train.reward_weight", FIELD(train.reward_weight), 0, 1e6,
                   "hard: weight of REINFORCE's reward"));
  s.push_back(real("train.entropy_weight", FIELD(train.entropy_weight), 0, 1e6,
                   "hard: weight of the maps' entropy"));
  s.push_back(
      real("train.expected_share", FIELD(train.expected_share), 0, 0.99,
           "hard: share of sentences that take the mean under the map instead of a sample"));
  only_for(s, chosen, kSentences);
}

void add_optim(std::vector<SchemaEntry>& s) {
  s.push_back(choice("optim.kind", FIELD(optim.kind), {"adam", "adamw", "sgd"},
                     "optimiser, in Keras' form"));
  s.push_back(real("optim.lr", FIELD(optim.lr), 0, 1e3, "learning rate"));
  s.push_back(
      real("optim.beta1", FIELD(optim.beta1), 0, 0.999999, "adam: decay of the mean of gradients"));
  s.push_back(
      real("optim.beta2", FIELD(optim.beta2), 0, 0.99999999, "adam: decay of the mean of squares"));
  s.push_back(real("optim.epsilon", FIELD(optim.epsilon), 1e-16, 1,
                   "adam: added to the root of the mean of squares"));
  s.push_back(real("optim.weight_decay", FIELD(optim.weight_decay), 0, 1e3,
                   "adamw: decoupled decay of weights"));
  s.push_back(real("optim.momentum", FIELD(optim.momentum), 0, 0.999999,
                   "sgd: share of the last update that is repeated"));
  s.push_back(flag("optim.nesterov", FIELD(optim.nesterov), "sgd: look ahead along the momentum"));
  s.push_back(choice("optim.schedule.kind", FIELD(optim.schedule),
                     {"constant", "linear", "cosine", "exponential", "step", "inverse-sqrt"},
                     "course of the learning rate after the warm-up"));
  s.push_back(real("optim.schedule.warmup", FIELD(optim.warmup), 0, kMany,
                   "epochs over which it rises from 0"));
  s.push_back(real("optim.schedule.final", FIELD(optim.final_ratio), 0, 1,
                   "linear, cosine: share of optim.lr reached at the end"));
  s.push_back(
      real("optim.schedule.decay", FIELD(optim.decay), 1e-9, 1, "exponential, step: factor"));
  s.push_back(real("optim.schedule.every", FIELD(optim.every), 1e-3, kMany,
                   "exponential, step: epochs to a factor"));
}

void add_decode(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(
      whole("decode.beams", FIELD(decode.beams), 1, 1000, "hypotheses kept, K; 1 is greedy"));
  s.push_back(real("decode.length_penalty", FIELD(decode.length_penalty), 0, 10,
                   "exponent of the length that scores are divided by (Wu et al. 2016)"));
  s.push_back(real("decode.coverage_penalty", FIELD(decode.coverage_penalty), 0, 10,
                   "weight of the penalty on source tokens that got little attention"));
  only_for(s, first, kSentences);
  const std::size_t written = s.size();
  s.push_back(whole("decode.max_length", FIELD(decode.max_length), 0, 65536,
                    "most tokens that are written; 0: of a translation twice the source's and ten "
                    "more, of a caption data.max_tokens, of other text 200"));
  only_for(s, written, kWrite);
  const std::size_t drawn = s.size();
  s.push_back(real("decode.temperature", FIELD(decode.temperature), 1e-3, 100,
                   "tokens are drawn from p^(1/temperature)"));
  s.push_back(whole("decode.top_k", FIELD(decode.top_k), 0, kMany,
                    "of the k likeliest tokens alone; 0: of all"));
  s.push_back(real("decode.top_p", FIELD(decode.top_p), 1e-6, 1,
                   "of the likeliest tokens that together reach p"));
  only_for(s, drawn, kLanguage);
}

std::vector<SchemaEntry> make_schema() {
  std::vector<SchemaEntry> s;
  s.push_back(choice("task.kind", FIELD(task.kind),
                     {"classification", "translation", "language", "captioning", "generation"},
                     "what is learned"));
  s.push_back(text("task.description", FIELD(task.description), "one line for attend recipes"));
  add_data_keys(s);
  add_model_keys(s);
  add_train(s);
  add_optim(s);
  add_decode(s);
  return s;
}

}  // namespace

const std::vector<SchemaEntry>& schema() {
  static const std::vector<SchemaEntry> entries = make_schema();
  return entries;
}

const std::vector<KeySpec>& recipe_schema() {
  static const std::vector<KeySpec> specs = [] {
    std::vector<KeySpec> out;
    for (const SchemaEntry& e : schema()) out.push_back(e.spec);
    return out;
  }();
  return specs;
}

}  // namespace attend::train
