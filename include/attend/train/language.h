#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/data/codec.h"
#include "attend/models/language_model.h"
#include "attend/train/run.h"

namespace attend::train {

/// A trained language model with what it needs to read and write text. Its folder is that of Run (run.h).
struct LanguageRun : RunFiles {
  models::LanguageConfig config;
  data::TextCodec codec;
  std::unique_ptr<models::LanguageModel> model;
};

/// Throws as load_run.
LanguageRun load_language(const std::string& path);

/// How a text goes on.
struct Continuation {
  std::string text;  // what was written behind the prompt
  double score = 0;  // Σ log p of its tokens
};

/// Draws one continuation of each prompt as [decode] of the run's recipe says: a pure function of run, prompt's place and
/// seed. A prompt's tokens beyond the last data.row_tokens are not read.
std::vector<Continuation> continue_texts(const LanguageRun& run,
                                         const std::vector<std::string>& prompts,
                                         std::uint64_t seed);

struct LanguageEvaluation {
  std::string run, data, split;
  std::int64_t n = 0;  // tokens that were predicted
  Metrics metrics;     // loss (nats a token), perplexity, bits_per_character
};
/// On `data` ("" = what it was trained on) and its part `split` (train, validation or test; "" = the first of test,
/// validation, train that has text). Throws kUsage on a part that is unknown or empty.
LanguageEvaluation evaluate(const LanguageRun& run, const std::string& data = "",
                            const std::string& split = "");

/// The configuration that a recipe means for a vocabulary of this size.
models::LanguageConfig language_config(const Recipe& recipe, std::int64_t vocabulary);

}  // namespace attend::train
