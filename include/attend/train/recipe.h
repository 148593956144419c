#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "attend/data/pad.h"
#include "attend/models/captioner.h"
#include "attend/models/classifier.h"
#include "attend/models/draw.h"
#include "attend/models/language_model.h"
#include "attend/models/translator.h"
#include "attend/ops/precision.h"

namespace attend::train {

enum class TaskKind { kClassification, kTranslation, kLanguage, kCaptioning, kGeneration };
/// What a vocabulary of a translation counts as one token.
enum class Tokens { kWords, kBpe, kCharacters };
/// Which texts the vocabulary is made from. kAll reads the words (never the labels) of held-out rows
/// too, as the guide does; such words keep untrained vectors.
enum class VocabularyFrom { kTrain, kAll };
/// How rows become training, validation and test rows; the seed of every random split is
/// data.split_seed alone.
enum class Split {
  kLast,      // validation is the last rows, as Keras' validation_split; test the rows before those
  kShuffled,  // the same after one shuffle
  kStratified,  // shuffled within each label, so that every part has the same share of each
  kFolds,  // stratified folds: test is fold data.fold of data.folds, validation comes from the rest
  kPredefined,  // the parts that the data set brings; a part it lacks is cut off the training rows,
                // stratified
};
/// How pixels between 0 and 1 become black and white ones.
enum class Binarise {
  kSample,  // white with the pixel as probability: anew in every epoch of training, fixed for validation and test
  kThreshold,  // white above ½
  kNone,       // as they are
};
/// Channels of a folder's images: kAuto is grey when every pixel of every image is.
enum class Colour { kAuto, kGrey, kRgb };
enum class OptimizerKind { kAdam, kAdamW, kSgd };
enum class ScheduleKind { kConstant, kLinear, kCosine, kExponential, kStep, kInverseSqrt };
enum class Metric { kLoss, kAccuracy, kF1, kBleu, kExactMatch, kBleu4, kCider, kPointing };

/// What to train, on what and how: the tables of a recipe file, one field a key. Meaning, range and
/// default of each are in recipe_schema(); docs, validation, `--set` and the resolved recipe.toml
/// all come from that table.
struct Recipe {
  std::string name;  // "guide/sentiment-lstm", or the path it came from

  struct Task {
    TaskKind kind = TaskKind::kClassification;
    std::string description;
  } task;

  struct Data {
    std::string name = "uci-sentiment:amazon+yelp";
    std::string extra;  // more training rows, never validated or tested on
    std::int64_t max_length = 32;
    data::End padding = data::End::kPost;
    data::End truncating = data::End::kPre;
    std::int64_t num_words = 0;
    std::string oov;
    bool lower = true;
    VocabularyFrom vocabulary = VocabularyFrom::kTrain;
    Split split = Split::kLast;
    double validation = 0.2;
    double test = 0;
    std::int64_t split_seed = 0;
    std::int64_t folds = 5;
    std::int64_t fold = 0;
    std::int64_t inner_folds = 0;
    std::int64_t inner_fold = 0;
    std::string source = "en";
    std::string target = "de";
    Tokens tokens = Tokens::kWords;
    std::int64_t vocabulary_size = 10000;
    std::int64_t min_count = 1;
    bool share_vocabulary = false;
    std::int64_t max_tokens = 128;
    std::int64_t image_size = 0;
    Binarise binarise = Binarise::kSample;
    Colour colour = Colour::kAuto;
    std::int64_t caption_image_size = 48;  // key data.image_size of a captioner
    std::int64_t images = 2000;
    std::int64_t row_tokens = 128;
  } data;

  struct Model {
    std::int64_t embedding_width = 32;
    std::int64_t hidden = 100;
    std::int64_t layers = 1;
    models::Cell cell = models::Cell::kLstm;
    models::Attention attention = models::Attention::kNone;  // key model.attention.kind
    bool bidirectional = false;
    bool mask_padding = true;
    double dropout = 0.3;
    double recurrent_dropout = 0.2;
    double embedding_l2 = 1e-3;
    std::string pretrained;
    bool freeze_embedding = false;
    models::ClassifierArchitecture classifier =
        models::ClassifierArchitecture::kRecurrent;  // key model.architecture of a classification
    models::Pooling pooling = models::Pooling::kMean;
    models::Architecture architecture = models::Architecture::kBahdanau;
    bool attend = true;  // key model.attention.kind of a translation: none, alignment
    nn::Score score = nn::Score::kAdditive;         // key model.attention.score
    nn::Span span = nn::Span::kGlobal;              // key model.attention.span
    std::int64_t window = 10;                       // key model.attention.window
    std::int64_t attention_width = 256;             // key model.attention.width
    models::Choice choice = models::Choice::kSoft;  // key model.attention.choice
    double temperature = 1;                         // key model.attention.temperature
    models::Fusion fusion = models::Fusion::kDeep;  // key model.attention.fusion
    bool input_feeding = true;
    bool reverse_source = false;
    std::int64_t heads = 4;
    std::int64_t feed_forward = 1024;
    models::NormPlace norm = models::NormPlace::kFirst;
    models::SharedEmbeddings share_embeddings = models::SharedEmbeddings::kNone;
    std::int64_t steps = 64;
    std::int64_t latent = 100;
    bool windows = true;          // key model.attention.kind of a generation: none, window
    std::int64_t read_size = 2;   // key model.attention.read_size
    std::int64_t write_size = 5;  // key model.attention.write_size
    models::PixelOutput output = models::PixelOutput::kBernoulli;
    models::CaptionAttention look =
        models::CaptionAttention::kSoft;  // key model.attention.kind of a captioner
    models::CaptionArchitecture caption_architecture =
        models::CaptionArchitecture::kLstm;  // key model.architecture of a captioner
    std::int64_t decoder_layers = 2;
    std::int64_t annotation_width = 64;
    std::int64_t stride = 4;
    std::string image_encoder;   // key model.encoder.pretrained
    bool freeze_encoder = true;  // key model.encoder.frozen
    models::LanguageArchitecture language =
        models::LanguageArchitecture::kLstm;  // key model.architecture of a language model
    bool share_embedding = false;             // key model.share_embeddings of a language model
  } model;

  struct Train {
    std::int64_t seed = 1;
    std::int64_t epochs = 10;
    std::int64_t batch = 100;
    std::int64_t accumulate = 1;
    ProductPrecision precision = ProductPrecision::kFloat32;
    bool shuffle = true;
    double clip_norm = 0;
    std::int64_t patience = 0;     // key train.early_stopping.patience
    Metric watch = Metric::kLoss;  // key train.early_stopping.metric
    double min_delta = 0;          // key train.early_stopping.min_delta
    bool restore_best = true;      // key train.early_stopping.restore_best
    std::int64_t checkpoint_every = 1;
    double checkpoint_seconds = 10;
    std::int64_t keep = 1;
    std::int64_t average = 1;
    double label_smoothing = 0;
    std::int64_t decode_rows = 200;
    double doubly_stochastic = 1;
    double reward_weight = 1;
    double entropy_weight = 0.01;
    double expected_share = 0.5;
  } train;

  struct Optim {
    OptimizerKind kind = OptimizerKind::kAdam;
    double lr = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-7;
    double weight_decay = 0;
    double momentum = 0;
    bool nesterov = false;
    ScheduleKind schedule = ScheduleKind::kConstant;  // key optim.schedule.kind
    double warmup = 0;                                // key optim.schedule.warmup
    double final_ratio = 0;                           // key optim.schedule.final
    double decay = 0.5;                               // key optim.schedule.decay
    double every = 1;                                 // key optim.schedule.every
  } optim;

  struct Decode {
    std::int64_t beams = 5;
    double length_penalty = 1;
    double coverage_penalty = 0;
    std::int64_t max_length =
        0;  // 0: of a translation twice the source's tokens and ten more, of a caption data.max_tokens, of other text 200
    double temperature = 1;
    std::int64_t top_k = 0;
    double top_p = 1;
  } decode;
};

using Value = std::variant<bool, std::int64_t, double, std::string>;
enum class ValueType { kBool, kInteger, kReal, kText, kChoice };

/// One key of a recipe as a reader meets it.
struct KeySpec {
  std::string key;  // "train.early_stopping.patience"
  ValueType type = ValueType::kText;
  Value default_value;
  double minimum = 0, maximum = 0;   // of numbers, both allowed
  std::vector<std::string> choices;  // of kChoice
  std::string doc;                   // one line
  std::vector<TaskKind> tasks;       // that know the key; empty: all
};

/// Every key in file order: [task] [data] [model] [train] [optim] [decode].
const std::vector<KeySpec>& recipe_schema();

/// Whether recipes of this kind know the key.
bool applies(const KeySpec& spec, TaskKind kind);

/// "classification", …: as task.kind writes it.
std::string task_name(TaskKind kind);

/// The schema as Markdown tables, for docs and `attend recipes --keys`.
std::string recipe_schema_markdown();

/// Reads one key; throws kUsage naming the nearest key when there is none of that name.
Value recipe_value(const Recipe& recipe, const std::string& key);
std::string to_text(
    const Value& value);  // as TOML writes it: text quoted, reals in shortest exact form

/// Sets one key, checking type, choice and range (NaN and infinity are refused). An integer is
/// taken where a real is expected. Throws kUsage naming key, expectation and, for a wrong name, the
/// nearest key or choice.
void set_recipe_value(Recipe& recipe, const std::string& key, const Value& value);

/// `--set`: "optim.lr=1e-2", text with or without quotes. Throws kUsage.
void set_recipe_value(Recipe& recipe, const std::string& assignment);

struct RecipeInfo {
  std::string name;         // "guide/sentiment-lstm"
  std::string task;         // "classification"
  std::string description;  // one line
};

/// The recipes built into the program, sorted by task, then name.
std::vector<RecipeInfo> list_recipes();

/// A built-in recipe by name, or a file by path (a name that ends in ".toml" or begins with '.' or
/// '/'; a run's recipe.toml counts). Throws kUsage for an unknown name, with the nearest; kIo for
/// an unreadable file; kBadInput for bad content.
Recipe load_recipe(const std::string& name_or_path);

/// The same from text; `file` is what messages call it ("recipes/x.toml:12: unknown key
/// 'train.epoch', …"). A table [made] (seed, versions, machine: what a run writes) is skipped.
Recipe parse_recipe(const std::string& text, const std::string& file, const std::string& name);

/// Every key with its value, commented with the schema's one line, readable by parse_recipe:
/// parse_recipe(to_toml(r)) = r.
std::string to_toml(const Recipe& recipe);

/// SHA-256 over every key that decides what is learned (all but task.description, checkpointing and
/// name).
std::string recipe_hash(const Recipe& recipe);

}  // namespace attend::train
