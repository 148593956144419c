#include "attend/train/run.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/nearest.h"
#include "attend/data/load.h"
#include "train/classification.h"
#include "train/parts.h"
#include "train/pretrained.h"
#include "train/run_files.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;

/// Fewer parameters than this fit in a file of that many bytes; so a wrong config allocates nothing.
void check_size(const models::ClassifierConfig& config, const std::string& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  const bool is_bert = config.architecture == models::ClassifierArchitecture::kBert;
  const double numbers = is_bert ? static_cast<double>(models::parameters_of(config.bert))
                                 : static_cast<double>(config.vocabulary + 1) *
                                       static_cast<double>(config.embedding_width);
  if (error || static_cast<double>(bytes) < 4 * numbers)
    fail_input(path + ": smaller than the " + (is_bert ? "encoder" : "embedding table") +
               " that config.json describes");
}

void load_words(Run& run) {
  const std::string path = run.path + "/tokenizer.json";
  std::int64_t words = 0;
  if (run.config.architecture == models::ClassifierArchitecture::kBert) {
    run.codec = data::load_codec(path);
    words = run.codec->size() - 1;  // without [PAD], which is id 0
    if (run.codec->unit() != data::TextUnit::kWordPiece || run.codec->pad() != 0)
      fail_input(path + ": not the WordPiece vocabulary of a BERT run");
  } else {
    run.tokenizer = data::load_tokenizer(path);
    words = run.tokenizer.vocabulary();
  }
  if (words > run.config.vocabulary)
    fail_input(path + ": " + std::to_string(words) + " words, the model has " +
               std::to_string(run.config.vocabulary));
}

data::Dataset joined(std::vector<data::Dataset> sets, const std::vector<std::string>& names) {
  data::Dataset out;
  out.label_names = names;
  for (data::Dataset& set : sets) {
    if (set.examples.empty()) continue;
    rename_labels(set, names);
    out.examples.insert(out.examples.end(), set.examples.begin(), set.examples.end());
  }
  return out;
}

/// The rows that `split` names, and its name when it was "".
data::Dataset rows_of(Parts parts, std::string& split, const std::vector<std::string>& names,
                      const std::string& fallback, const std::string& data) {
  if (split.empty()) split = !parts.test.examples.empty() ? "test" : fallback;
  if (split == "all")
    return joined({std::move(parts.train), std::move(parts.validation), std::move(parts.test)},
                  names);
  if (split == "train") return joined({std::move(parts.train)}, names);
  if (split == "validation") return joined({std::move(parts.validation)}, names);
  if (split == "test") return joined({std::move(parts.test)}, names);
  fail_usage("no split '" + split + "' of " + data +
             did_you_mean(split, {"train", "validation", "test", "all"}));
}

}  // namespace

models::ClassifierConfig classifier_config(const Recipe& recipe, std::int64_t vocabulary,
                                           std::int64_t classes) {
  const Recipe::Model& m = recipe.model;
  if (m.classifier == models::ClassifierArchitecture::kBert)
    return bert_classifier_config(recipe, open_pretrained(recipe), classes);
  models::ClassifierConfig out;
  out.vocabulary = vocabulary;
  out.max_length = recipe.data.max_length;
  out.embedding_width = m.embedding_width;
  out.hidden = m.hidden;
  out.layers = m.layers;
  out.classes = classes;
  out.cell = m.cell;
  out.attention_width = m.attention_width;
  out.attention = m.attention;
  out.bidirectional = m.bidirectional;
  out.mask_padding = m.mask_padding;
  out.dropout = m.dropout;
  out.recurrent_dropout = m.recurrent_dropout;
  out.embedding_l2 = m.embedding_l2;
  out.freeze_embedding = m.freeze_embedding;
  return out;
}

Run load_run(const std::string& given) {
  Run run;
  static_cast<RunFiles&>(run) = open_run(given, TaskKind::kClassification);
  const std::string& path = run.path;
  const std::string config_path = path + "/config.json", weights_path = path + "/model.safetensors";
  RunConfig config = from_config_json(read_file(config_path), config_path);
  run.config = config.model;
  run.label_names = std::move(config.label_names);
  load_words(run);
  if (run.recipe.data.max_length != run.config.max_length)
    fail_input(path + "/recipe.toml: data.max_length differs from config.json");
  check_size(run.config, weights_path);
  run.classifier = models::make_classifier(run.config, 0);
  load_parameters(run.classifier->parameters(), weights_path);
  return run;
}

data::EncodeOptions encode_options(const Recipe& recipe) {
  data::EncodeOptions options;
  options.max_length = recipe.data.max_length;
  options.padding = recipe.data.padding;
  options.truncating = recipe.data.truncating;
  return options;
}

BatchPrediction predict(const Run& run, const models::ClassifierBatch& batch) {
  Outputs out = run_batches(*run.classifier, batch);
  return {out.probabilities, out.weights};
}

std::vector<Prediction> predict(const Run& run, const std::vector<std::string>& texts) {
  std::vector<Prediction> out;
  if (texts.empty()) return out;
  const at::Tensor p = predict(run, encode(run, texts)).probabilities.to(at::kDouble).contiguous();
  const std::int64_t classes = p.size(1);
  for (std::int64_t i = 0; i < p.size(0); ++i) {
    const double* row = p.const_data_ptr<double>() + i * classes;
    Prediction one;
    one.label = std::max_element(row, row + classes) - row;
    one.label_name = run.label_names[static_cast<std::size_t>(one.label)];
    one.probability = row[one.label];
    one.probabilities.assign(row, row + classes);
    out.push_back(std::move(one));
  }
  return out;
}

LabelledRows labelled_rows(const Run& run, const std::string& data, const std::string& split) {
  LabelledRows out{data.empty() ? run.recipe.data.name : data, split, {}};
  if (out.data == run.recipe.data.name) {
    Parts parts = load_parts(run.recipe);
    const char* fallback = parts.validation.examples.empty() ? "train" : "validation";
    out.rows = rows_of(std::move(parts), out.split, run.label_names, fallback, out.data);
  } else {
    data::LoadOptions options;
    options.allow_one_class = true;
    data::Corpus corpus = data::load(out.data, options);
    Parts parts{std::move(corpus.train), std::move(corpus.validation), std::move(corpus.test), {}};
    out.rows = rows_of(std::move(parts), out.split, run.label_names, "all", out.data);
  }
  if (out.rows.examples.empty())
    fail_usage(out.data + " has no " + out.split + " rows under this run's recipe");
  return out;
}

Evaluation evaluate(const Run& run, const std::string& data, const std::string& split) {
  const LabelledRows labelled = labelled_rows(run, data, split);
  const data::Encoded encoded = encode(run, labelled.rows);
  const Outputs outputs = run_batches(*run.classifier, {encoded.ids, encoded.lengths});
  return {run.path, labelled.data, labelled.split,
          report_classification(outputs.probabilities, encoded.labels)};
}

}  // namespace attend::train
