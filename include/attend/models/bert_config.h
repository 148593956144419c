#pragma once
#include <attend/ops/linear.h>

#include <cstdint>

namespace attend::models {

/// The sizes of a BERT encoder (Devlin et al. 2019, §3), under this project's names; behind each the key of Hugging Face's
/// config.json.
struct BertConfig {
  std::int64_t vocabulary = 0;       // vocab_size: ids 0 … vocabulary − 1
  std::int64_t width = 768;          // hidden_size, C
  std::int64_t layers = 12;          // num_hidden_layers
  std::int64_t heads = 12;           // num_attention_heads, a divisor of width
  std::int64_t feed_forward = 3072;  // intermediate_size
  std::int64_t max_positions = 512;  // max_position_embeddings: most tokens of a sentence
  std::int64_t token_types = 2;      // type_vocab_size
  attend::Activation activation = attend::Activation::kGelu;  // hidden_act
  double layer_norm_eps = 1e-12;                              // layer_norm_eps
  double dropout = 0.1;  // hidden_dropout_prob and attention_probs_dropout_prob: training only
};

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const BertConfig& config);

/// Numbers that an encoder of this shape has.
std::int64_t parameters_of(const BertConfig& config);

}  // namespace attend::models
