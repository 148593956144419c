#pragma once
#include <ATen/core/Tensor.h>
#include <attend/models/bert_config.h>
#include <attend/nn/dropout.h>
#include <attend/nn/parameters.h>
#include <attend/nn/recurrent.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace attend::models {

class BertEncoder;  // attend/models/bert.h
using nn::Pass;     // how a forward pass is run: training, seed, step
enum class Cell {
  kLstm,
  kGru,
  kLstmn,  // looks back over its own earlier states in place of the last one (Cheng et al. 2016)
};
enum class Attention { kNone, kPool };
enum class ClassifierArchitecture {
  kRecurrent,  // the guide's sentiment classifier and its relatives, trained from nothing
  kBert,       // a pretrained encoder and a linear map: fine-tuning (Devlin et al. 2019, §4)
};
/// What stands for a sentence in a kBert.
enum class Pooling {
  kMean,   // the mean of its last hidden states, [CLS] and [SEP] included (Reimers & Gurevych 2019)
  kFirst,  // the state of [CLS]
};

/// kRecurrent: Embedding(vocabulary + 1, embedding_width) → cell(hidden) × layers → [attention pooling] → Dense.
/// kBert: [CLS] ids [SEP] → BertEncoder → pooling → dropout → Dense. Of the fields below it has vocabulary = bert.vocabulary − 1,
/// max_length ≤ bert.max_positions − 2, embedding_width = bert.width, classes, mask_padding = true, dropout = bert.dropout,
/// freeze_embedding (the words' table) and those at the end; the others it has no use for.
struct ClassifierConfig {
  ClassifierArchitecture architecture = ClassifierArchitecture::kRecurrent;
  std::int64_t vocabulary = 0;   // ids 1…vocabulary; 0 is padding
  std::int64_t max_length = 32;  // T, also the number of position biases of the attention
  std::int64_t embedding_width = 32;
  std::int64_t hidden = 100;
  std::int64_t layers = 1;
  std::int64_t classes = 2;  // 2: one logit and BCE; more: softmax
  Cell cell = Cell::kLstm;
  Attention attention = Attention::kNone;
  std::int64_t attention_width = 128;  // kLstmn: A of its scores
  bool bidirectional = false;          // not kLstmn
  bool mask_padding = true;  // false: padding is computed and attended to, as in the guide
  double dropout = 0.3;  // on the cell's input: one mask per sequence, shared by steps and gates
  double recurrent_dropout = 0.2;  // kLstmn has no one state before to drop: 0
  double embedding_l2 = 1e-3;      // added to the loss: embedding_l2 · Σ table²
  bool freeze_embedding = false;   // the table is not trained (and has no penalty, as in Keras)
  BertConfig bert;                 // kBert alone, from here on
  Pooling pooling = Pooling::kMean;
  std::int64_t begin_id = 0, end_id = 0;  // of [CLS] and [SEP]
};

struct ClassifierBatch {
  at::Tensor ids;      // [B,T] int64, 0 = padding; T = max_length, or less with mask_padding
  at::Tensor lengths;  // [B] int64, 0 ≤ length ≤ T; unused (may be undefined) without mask_padding
};

struct ClassifierOutput {
  at::Tensor logits;   // [B,1] for two classes, else [B,classes]
  at::Tensor weights;  // [B,T], undefined without attention
  at::Tensor penalty;  // [] the regulariser, kept here when forward already has it; see loss()
};

/// What every token looked at in one layer and head.
struct SelfAttention {
  std::int64_t layer = 0, head = 0;
  /// [B,T,T] without gradient, rows and columns beyond a length 0. Of a kLstmn a token sees those before it; of a kBert all, and
  /// what a row lacks to 1 fell on [CLS] and [SEP].
  at::Tensor weights;
};

using nn::NamedTensors;

class Classifier {
 public:
  virtual ~Classifier() = default;
  virtual ClassifierOutput forward(const ClassifierBatch&, const Pass&) = 0;
  /// The same from given embeddings [B,T,E] instead of ids (for gradient × input).
  virtual ClassifierOutput forward_embedded(const at::Tensor& embedded, const at::Tensor& lengths,
                                            const Pass&) = 0;
  virtual at::Tensor embed(const at::Tensor& ids) = 0;  // [B,T] -> [B,T,E]
  /// Of a kLstmn, and of every head of a kBert, layer by layer; empty for other models.
  virtual std::vector<SelfAttention> self_attention(const ClassifierBatch&) { return {}; }
  /// Mean cross-entropy of the batch plus the regulariser; labels [B] int64.
  virtual at::Tensor loss(const ClassifierOutput&, const at::Tensor& labels) = 0;
  /// Fixed order; leaf tensors that may be written in place (under no_grad). Layouts, D =
  /// directions:
  ///   embedding.weight        [V+1,E]     Keras' embeddings as they are
  ///   lstm.weight_ih_l0       [4H,I]      Keras' kernel [I,4H] transposed; gates i, f, g (Keras'
  ///   c), o lstm.weight_hh_l0       [4H,H]      Keras' recurrent_kernel [H,4H] transposed
  ///   lstm.bias_l0            [4H]        Keras' bias; PyTorch's bias_ih + bias_hh
  ///   gru.weight_ih_l0 …      [3H,I], gru.weight_hh_l0 [3H,H], gru.bias_ih_l0, gru.bias_hh_l0
  ///   [3H]: PyTorch's
  ///                           gates r, z, n; Keras' are z, r, h (swap the first two blocks), bias
  ///                           [2,3H]
  ///   lstmn.0.weight …        of each layer what nn::named(LstmnWeights) lists
  ///   attention.weight        [D·H]       Keras' [D·H,1];   attention.bias [T]: Keras' [T,1]
  ///   dense.weight            [K,D·H]     Keras' kernel [D·H,K] transposed, K = 1 for two classes
  ///   dense.bias              [K]
  /// More layers are _l1 …, the backward direction is _l0_reverse, as in PyTorch. A frozen table is
  /// listed too, with requires_grad false. kBert: BertEncoder's, then dense.weight and dense.bias.
  virtual NamedTensors parameters() = 0;
  virtual const ClassifierConfig& config() const = 0;
};

/// Builds the model with Keras' initialisers (glorot-uniform kernels, orthogonal recurrent, forget
/// bias 1, embedding U(±.05), attention weight N(0, .05)), a pure function of config and seed.
/// kBert: dense ~ N(0, .02), and an encoder that knows nothing; make_bert_classifier takes one that does.
/// Throws kUsage on a config that makes no sense.
std::unique_ptr<Classifier> make_classifier(const ClassifierConfig& config, std::uint64_t seed,
                                            at::ScalarType dtype = at::kFloat);

/// A kBert around this encoder, whose config is config.bert.
std::unique_ptr<Classifier> make_bert_classifier(const ClassifierConfig& config,
                                                 BertEncoder encoder, std::uint64_t seed);

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const ClassifierConfig& config);

/// Do words carry weights: of pooling, or of an LSTMN's look back?
inline bool attends(const ClassifierConfig& config) {
  return config.attention != Attention::kNone ||
         (config.architecture == ClassifierArchitecture::kRecurrent && config.cell == Cell::kLstmn);
}

/// [B,classes] probabilities (two columns for two classes).
at::Tensor probabilities(const ClassifierOutput& output);

}  // namespace attend::models
