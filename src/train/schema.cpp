#include "train/schema.h"

#include <type_traits>
#include <utility>

namespace attend::train {
namespace {

using models::Attention;
using models::Cell;

constexpr double kMany = 1e9;  // a limit for whole numbers that have none of their own

/// An access is [](auto& r) -> auto& { return r.data.name; }: one lambda for const and mutable recipes.
template <class Access>
SchemaEntry plain(KeySpec spec, Access access) {
  using Field = std::decay_t<decltype(access(std::declval<Recipe&>()))>;
  const Recipe defaults;
  spec.default_value = Value(access(defaults));
  return {std::move(spec), [access](const Recipe& r) { return Value(access(r)); },
          [access](Recipe& r, const Value& v) { access(r) = std::get<Field>(v); }};
}

template <class Access>
SchemaEntry text(const char* key, Access access, const char* doc) {
  return plain({key, ValueType::kText, {}, 0, 0, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry flag(const char* key, Access access, const char* doc) {
  return plain({key, ValueType::kBool, {}, 0, 0, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry whole(const char* key, Access access, double low, double high, const char* doc) {
  return plain({key, ValueType::kInteger, {}, low, high, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry real(const char* key, Access access, double low, double high, const char* doc) {
  return plain({key, ValueType::kReal, {}, low, high, {}, doc, {}}, access);
}

/// `names` in the order of the enum's values from 0.
template <class Access>
SchemaEntry choice(const char* key, Access access, std::vector<std::string> names,
                   const char* doc) {
  using Field = std::decay_t<decltype(access(std::declval<Recipe&>()))>;
  const Recipe defaults;
  KeySpec spec{
      key, ValueType::kChoice, names[static_cast<std::size_t>(access(defaults))], 0, 0, names, doc,
      {}};
  return {std::move(spec),
          [access, names](const Recipe& r) {
            return Value(names[static_cast<std::size_t>(access(r))]);
          },
          [access, names](Recipe& r, const Value& v) {
            for (std::size_t i = 0; i < names.size(); ++i)
              if (names[i] == std::get<std::string>(v)) access(r) = static_cast<Field>(i);
          }};
}

const std::vector<TaskKind> kClass{TaskKind::kClassification}, kTranslate{TaskKind::kTranslation},
    kLanguage{TaskKind::kLanguage}, kWritesText{TaskKind::kTranslation, TaskKind::kLanguage};

/// Makes the entries from place `first` on known to these kinds of task alone.
void only_for(std::vector<SchemaEntry>& s, std::size_t first, const std::vector<TaskKind>& tasks) {
  for (std::size_t i = first; i < s.size(); ++i) s[i].spec.tasks = tasks;
}

#define FIELD(path) \
  [](auto& r) -> auto& { return r.path; }

/// Of tasks that write text.
void add_text_data(std::vector<SchemaEntry>& s) {
  const std::size_t written = s.size();
  s.push_back(choice(
      "data.tokens", FIELD(data.tokens), {"words", "bpe", "characters"},
      "what one token is: a word, a piece of one learnt by byte-pair encoding, or a character"));
  s.push_back(whole("data.vocabulary_size", FIELD(data.vocabulary_size), 4, 10'000'000,
                    "most tokens of a vocabulary, the four special ones included"));
  s.push_back(whole("data.min_count", FIELD(data.min_count), 1, kMany,
                    "tokens = words: rarer ones are unknown"));
  only_for(s, written, kWritesText);
  const std::size_t translated = s.size();
  s.push_back(
      text("data.source", FIELD(data.source), "language translated from: the ending of its files"));
  s.push_back(text("data.target", FIELD(data.target), "language translated to"));
  s.push_back(flag("data.share_vocabulary", FIELD(data.share_vocabulary),
                   "one vocabulary for both languages"));
  s.push_back(whole("data.max_tokens", FIELD(data.max_tokens), 1, 65536,
                    "most tokens of a sentence; longer training pairs are left out and counted, "
                    "longer input is refused"));
  only_for(s, translated, kTranslate);
  const std::size_t rows = s.size();
  s.push_back(whole("data.row_tokens", FIELD(data.row_tokens), 1, 65536,
                    "tokens of a row, T: what can be looked back on, at most"));
  only_for(s, rows, kLanguage);
}

void add_data(std::vector<SchemaEntry>& s) {
  s.push_back(text(
      "data.name", FIELD(data.name),
      "data set of the catalogue (attend data list), or path of a TSV, CSV, JSONL or UCI file"));
  s.push_back(
      real("data.validation", FIELD(data.validation), 0, 0.9, "share of rows for validation"));
  s.push_back(real("data.test", FIELD(data.test), 0, 0.9, "share of rows for the test"));
  s.push_back(whole("data.split_seed", FIELD(data.split_seed), 0, kMany,
                    "seed of random splits, apart from train.seed"));
  const std::size_t classified = s.size();
  s.push_back(text("data.extra", FIELD(data.extra),
                   "data set whose rows are added to the training rows alone; texts that occur in "
                   "data.name are left out"));
  s.push_back(whole("data.max_length", FIELD(data.max_length), 1, 4096,
                    "words of a text that are read, T"));
  s.push_back(choice("data.padding", FIELD(data.padding), {"pre", "post"},
                     "side on which short texts are padded"));
  s.push_back(choice("data.truncating", FIELD(data.truncating), {"pre", "post"},
                     "side on which long texts are cut (Keras' default is pre)"));
  s.push_back(whole("data.num_words", FIELD(data.num_words), 0, kMany,
                    "as Keras' num_words: ids below it are kept; 0 = the whole vocabulary"));
  s.push_back(text("data.oov", FIELD(data.oov),
                   "word that stands for unknown ones, \"\" = leave them out"));
  s.push_back(choice("data.vocabulary", FIELD(data.vocabulary), {"train", "all"},
                     "texts whose words get an id: the training rows', or the held-out rows' too"));
  s.push_back(choice("data.split", FIELD(data.split),
                     {"last", "shuffled", "stratified", "folds", "predefined"},
                     "how rows are parted: last rows, after a shuffle, the same within each label, "
                     "folds, or as the data say"));
  s.push_back(whole("data.folds", FIELD(data.folds), 2, 1000, "split = folds: number of folds"));
  s.push_back(
      whole("data.fold", FIELD(data.fold), 0, 999, "split = folds: the fold that is the test"));
  s.push_back(whole("data.inner_folds", FIELD(data.inner_folds), 0, 1000,
                    "split = folds: folds of the other rows for validation; 0 = a share "
                    "data.validation of them"));
  s.push_back(whole("data.inner_fold", FIELD(data.inner_fold), 0, 999,
                    "split = folds: the inner fold that validates"));
  only_for(s, classified, kClass);
  s.push_back(flag("data.lower", FIELD(data.lower), "lower-case the text"));
  add_text_data(s);
}

void add_translation_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(choice("model.architecture", FIELD(model.architecture),
                     {"bahdanau", "luong", "transformer"}, "whose encoder-decoder"));
  s.push_back(choice("model.attention.kind", FIELD(model.attend), {"none", "alignment"},
                     "none: the decoder gets the encoder's last state alone; alignment: it looks "
                     "back at every step"));
  s.push_back(choice("model.attention.score", FIELD(model.score),
                     {"additive", "dot", "general", "concat", "location", "scaled-dot", "cosine"},
                     "how well a query fits a key"));
  s.push_back(choice("model.attention.span", FIELD(model.span), {"global", "local-m", "local-p"},
                     "which keys take part: all, those near the query's own position, those near a "
                     "predicted one"));
  s.push_back(whole("model.attention.window", FIELD(model.window), 1, 65536,
                    "local spans: keys on each side, D"));
  s.push_back(flag("model.input_feeding", FIELD(model.input_feeding),
                   "luong: the attentional vector of a step enters the next"));
  s.push_back(flag("model.reverse_source", FIELD(model.reverse_source),
                   "luong: the source is read from its end"));
  s.push_back(choice("model.share_embeddings", FIELD(model.share_embeddings),
                     {"none", "target", "all"},
                     "transformer: target: its embedding is the output projection too; all: and "
                     "the source's (needs data.share_vocabulary)"));
  only_for(s, first, kTranslate);
}

void add_language_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(choice("model.architecture", FIELD(model.language), {"lstm", "lstmn", "transformer"},
                     "lstm: no attention; lstmn: an LSTM that looks back at its own states; "
                     "transformer: causal self-attention"));
  s.push_back(flag("model.share_embeddings", FIELD(model.share_embedding),
                   "the embedding is the output projection too"));
  only_for(s, first, kLanguage);
}

void add_attention_sizes(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(whole("model.attention.width", FIELD(model.attention_width), 1, 65536,
                    "width of additive and concat scores, of the predicted position and of an "
                    "lstmn's score, A"));
  s.push_back(whole("model.heads", FIELD(model.heads), 1, 1024,
                    "transformer: attention heads, H, a divisor of model.embedding_width"));
  s.push_back(whole("model.feed_forward", FIELD(model.feed_forward), 1, 1 << 20,
                    "transformer: inner width of the feed-forward layers, F"));
  s.push_back(choice("model.norm", FIELD(model.norm), {"first", "last"},
                     "transformer: layer norm before each sublayer, or after its sum (the paper)"));
  only_for(s, first, kWritesText);
}

void add_model(std::vector<SchemaEntry>& s) {
  s.push_back(whole("model.embedding_width", FIELD(model.embedding_width), 1, 65536,
                    "width of a word's vector, E"));
  s.push_back(whole("model.hidden", FIELD(model.hidden), 1, 65536,
                    "units of the recurrent layer, H, per direction; a transformer has none"));
  s.push_back(
      whole("model.layers", FIELD(model.layers), 1, 64, "layers, of encoder and decoder each"));
  s.push_back(
      real("model.dropout", FIELD(model.dropout), 0, 0.99,
           "share of a layer's inputs dropped, one mask per sequence (transformer: per element)"));
  const std::size_t classified = s.size();
  s.push_back(choice("model.cell", FIELD(model.cell), {"lstm", "gru"}, "recurrent cell"));
  s.push_back(flag("model.bidirectional", FIELD(model.bidirectional), "read in both directions"));
  s.push_back(choice("model.attention.kind", FIELD(model.attention), {"none", "pool"},
                     "none: the last state; pool: the guide's attention over all states"));
  s.push_back(flag("model.mask_padding", FIELD(model.mask_padding),
                   "skip padding; false reads and attends to it, as the guide does"));
  s.push_back(real("model.recurrent_dropout", FIELD(model.recurrent_dropout), 0, 0.99,
                   "share of the previous state dropped, one mask per sequence"));
  s.push_back(real("model.embedding_l2", FIELD(model.embedding_l2), 0, 1e3,
                   "weight of the sum of squares of the embedding table in the loss"));
  s.push_back(text("model.pretrained", FIELD(model.pretrained),
                   "file of word vectors (word2vec or GloVe text), \"\" = none"));
  s.push_back(flag("model.freeze_embedding", FIELD(model.freeze_embedding),
                   "leave the word vectors as they are"));
  only_for(s, classified, kClass);
  add_translation_model(s);
  add_language_model(s);
  add_attention_sizes(s);
}

void add_train(std::vector<SchemaEntry>& s) {
  s.push_back(whole("train.seed", FIELD(train.seed), 0, 9.0e15,
                    "seed of initial weights, order and dropout"));
  s.push_back(
      whole("train.epochs", FIELD(train.epochs), 1, kMany, "passes over the training rows"));
  s.push_back(whole("train.batch", FIELD(train.batch), 1, kMany, "rows of a step, B"));
  s.push_back(flag("train.shuffle", FIELD(train.shuffle), "new order of rows in each epoch"));
  s.push_back(real("train.clip_norm", FIELD(train.clip_norm), 0, kMany,
                   "largest global norm of the gradient; 0 = no limit"));
  s.push_back(whole("train.early_stopping.patience", FIELD(train.patience), 0, kMany,
                    "epochs without improvement before the training ends; 0 = never"));
  s.push_back(choice("train.early_stopping.metric", FIELD(train.watch),
                     {"loss", "accuracy", "f1", "bleu", "exact_match"},
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
  const std::size_t translated = s.size();
  s.push_back(real("train.label_smoothing", FIELD(train.label_smoothing), 0, 0.99,
                   "share of the target's probability spread over the vocabulary"));
  s.push_back(
      whole("train.decode_rows", FIELD(train.decode_rows), 0, kMany,
            "validation sentences translated after each epoch for bleu and exact_match, greedily"));
  only_for(s, translated, kTranslate);
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
  only_for(s, first, kTranslate);
  const std::size_t written = s.size();
  s.push_back(whole("decode.max_length", FIELD(decode.max_length), 0, 65536,
                    "most tokens that are written; 0: of a translation twice the source's and ten "
                    "more, of other text 200"));
  only_for(s, written, kWritesText);
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
  s.push_back(choice("task.kind", FIELD(task.kind), {"classification", "translation", "language"},
                     "what is learned"));
  s.push_back(text("task.description", FIELD(task.description), "one line for attend recipes"));
  add_data(s);
  add_model(s);
  add_train(s);
  add_optim(s);
  add_decode(s);
  return s;
}

#undef FIELD

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
