#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attend/data/codec.h"
#include "attend/data/encode.h"
#include "attend/data/tokenizer.h"
#include "attend/models/classifier.h"
#include "attend/train/metrics.h"
#include "attend/train/recipe.h"
#include "attend/train/trainer.h"

namespace attend::train {

/// What every run has, whatever was trained.
struct RunFiles {
  std::string path;
  Recipe recipe;
  std::vector<EpochRecord> history;
  TrainResult result;
};

/// What a finished run was trained to do; throws as load_run when there is no such run.
TaskKind kind_of_run(const std::string& path);

/// A trained classifier with everything it needs to read text. Its folder holds
///   config.json         model_type, attend_format_version, ClassifierConfig, label_names
///   model.safetensors   the parameters by name
///   tokenizer.json      Hugging Face layout
///   recipe.toml         every key resolved, and [made]: seed, versions, machine
///   metrics.jsonl       a line per epoch
///   results.json        the document of `train --json`
///   README.md           model card
///   SHA256SUMS          of all files above; written last, so a folder without it is not a run
///   checkpoints/        not covered by SHA256SUMS; may be deleted
struct Run : RunFiles {
  models::ClassifierConfig config;
  std::vector<std::string> label_names;
  data::Tokenizer tokenizer;             // of a recurrent model
  std::optional<data::TextCodec> codec;  // of a bert, instead
  std::unique_ptr<models::Classifier> classifier;
};

/// Reads a finished run after comparing every file with SHA256SUMS. Throws kUsage when there is no
/// such folder (naming the nearest run beside it), kBadInput when a file is missing, has other
/// bytes (one flipped bit is seen) or makes no sense, and when the training hasn't finished (with
/// the command that resumes it).
Run load_run(const std::string& path);

/// How a recipe's texts become ids.
data::EncodeOptions encode_options(const Recipe& recipe);

/// Texts as the model was trained on them: ids [N,max_length] and lengths [N].
models::ClassifierBatch encode(const Run& run, const std::vector<std::string>& texts);
data::Encoded encode(const Run& run, const data::Dataset& rows);

/// One word of a text as the run reads it; of a bert one piece, "##" in front of those that go on with a word.
struct ReadWord {
  std::string
      text;  // as the text has it; of a word in several pieces, or in capitals, the vocabulary's piece
  std::size_t begin = 0;  // its place in the text, of a piece that of its word
  std::int64_t id = 0;    // 0: not read at all
  bool unknown = false;   // not in the vocabulary
};
/// Every word of the text, before it is cut to max_length.
std::vector<ReadWord> read_words(const Run& run, const std::string& text);

/// The run's tokenizer.json.
std::string tokenizer_json(const Run& run);

struct Prediction {
  std::int64_t label = 0;
  std::string label_name;
  double probability = 0;             // of label
  std::vector<double> probabilities;  // of every label
};
/// One prediction per text, in order; in batches of 512. An empty text, or one of unknown words
/// only, is all padding.
std::vector<Prediction> predict(const Run& run, const std::vector<std::string>& texts);
/// The same from ids. weights [N,T] are the attention's, undefined without attention.
struct BatchPrediction {
  at::Tensor probabilities;  // [N,classes]
  at::Tensor weights;
};
BatchPrediction predict(const Run& run, const models::ClassifierBatch& batch);

/// The rows of `data` and `split` as evaluate takes them, with both names filled in; labels are places in run.label_names.
struct LabelledRows {
  std::string data, split;
  data::Dataset rows;
};
LabelledRows labelled_rows(const Run& run, const std::string& data = "",
                           const std::string& split = "");

struct Evaluation {
  std::string run, data, split;
  ClassificationReport report;
};
/// Evaluates on `data` ("" = what it was trained on) and its part `split`: train, validation, test
/// or all. Another data set has no parts unless it brings them: "" then means its test part if
/// there is one, else all rows; for the training data "" means test if the recipe has one, else validation. Throws kUsage on an unknown or empty
/// split, kBadInput on labels that the run doesn't know.
Evaluation evaluate(const Run& run, const std::string& data = "", const std::string& split = "");

/// The configuration that a recipe means for a vocabulary and a number of labels; a bert's vocabulary is its encoder's.
models::ClassifierConfig classifier_config(const Recipe& recipe, std::int64_t vocabulary,
                                           std::int64_t classes);

}  // namespace attend::train
