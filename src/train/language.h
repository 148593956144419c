#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/data/catalogue.h"
#include "attend/data/codec.h"
#include "attend/models/language_model.h"
#include "attend/train/language.h"
#include "attend/train/recipe.h"
#include "train/task.h"

namespace attend::train {

std::unique_ptr<Task> make_language(const Recipe& recipe);

/// config.json of a run, and back; `name` is the file in messages, and every field is checked.
std::string to_config_json(const models::LanguageConfig& config);
models::LanguageConfig language_from_config_json(const std::string& text, const std::string& name);

/// The parts of a recipe's data; a part that the data lack is cut off the end of the training text as [data] says.
data::RunningText load_text_of(const Recipe& recipe);

/// Text as rows of row_tokens + 1 ids: kBegin, then each row begins with the last token of the row before, so that every
/// token is predicted once. The last row is filled up with kPadding, which isn't predicted.
class TextRows {
 public:
  TextRows() = default;
  TextRows(const std::string& text, const data::TextCodec& codec, std::int64_t row_tokens);
  std::int64_t count() const { return rows_; }
  std::int64_t tokens() const { return tokens_; }          // that are predicted
  std::int64_t characters() const { return characters_; }  // of the text, in code points
  at::Tensor batch(const at::Tensor& rows) const;          // [B,row_tokens + 1]

 private:
  std::int64_t rows_ = 0, tokens_ = 0, characters_ = 0;
  at::Tensor ids_;  // [rows, row_tokens + 1]
};

/// loss (nats a token), perplexity, bits_per_character of all rows, without dropout.
Metrics measure(models::LanguageModel& model, const TextRows& rows);

}  // namespace attend::train
