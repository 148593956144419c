#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace attend::models {

enum class Cell { kLstm, kGru };
enum class Attention { kNone, kPool };

/// The guide's sentiment classifier and its relatives:
/// Embedding(vocabulary + 1, embedding_width) → cell(hidden) × layers → [attention pooling] → Dense.
struct ClassifierConfig {
  std::int64_t vocabulary = 0;            // ids 1…vocabulary; 0 is padding
  std::int64_t max_length = 32;           // T, also the number of position biases of the attention
  std::int64_t embedding_width = 32;
  std::int64_t hidden = 100;
  std::int64_t layers = 1;
  std::int64_t classes = 2;               // 2: one logit and BCE; more: softmax
  Cell cell = Cell::kLstm;
  Attention attention = Attention::kNone;
  bool bidirectional = false;
  bool mask_padding = true;               // false: padding is computed and attended to, as in the guide
  double dropout = 0.3;                   // on the cell's input: one mask per sequence, shared by steps and gates
  double recurrent_dropout = 0.2;
  double embedding_l2 = 1e-3;             // added to the loss: embedding_l2 · Σ table²
};

struct ClassifierBatch {
  at::Tensor ids;       // [B,T] int64, 0 = padding
  at::Tensor lengths;   // [B] int64
};

/// How a forward pass is to be run. Dropout masks depend on (seed, step) alone, so a resumed run repeats them.
struct Pass {
  bool training = false;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
};

struct ClassifierOutput {
  at::Tensor logits;        // [B,1] for two classes, else [B,classes]
  at::Tensor weights;       // [B,T], undefined without attention
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

class Classifier {
 public:
  virtual ~Classifier() = default;
  virtual ClassifierOutput forward(const ClassifierBatch&, const Pass&) = 0;
  /// The same from given embeddings [B,T,E] instead of ids (for gradient × input).
  virtual ClassifierOutput forward_embedded(const at::Tensor& embedded, const at::Tensor& lengths, const Pass&) = 0;
  virtual at::Tensor embed(const at::Tensor& ids) = 0;                     // [B,T] -> [B,T,E]
  /// Mean cross-entropy of the batch plus the regulariser; labels [B] int64.
  virtual at::Tensor loss(const ClassifierOutput&, const at::Tensor& labels) = 0;
  virtual NamedTensors parameters() = 0;                                   // fixed order; leaf tensors
  virtual const ClassifierConfig& config() const = 0;
};

/// Builds the model with Keras' initialisers (glorot-uniform kernels, orthogonal recurrent, forget bias 1, embedding
/// U(±.05), attention weight N(0, .05)), a pure function of config and seed. Throws kUsage on a config that makes no sense.
std::unique_ptr<Classifier> make_classifier(const ClassifierConfig& config, std::uint64_t seed);

/// [B,classes] probabilities (two columns for two classes).
at::Tensor probabilities(const ClassifierOutput& output);

}  // namespace attend::models
