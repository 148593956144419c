#pragma once
#include <ATen/core/Tensor.h>
#include <attend/models/decoding.h>
#include <attend/nn/alignment.h>
#include <attend/nn/dropout.h>
#include <attend/nn/parameters.h>
#include <attend/ops/prepared_linear.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace attend::models {

using nn::NamedTensors;
using nn::Pass;  // how a forward pass is run: training, seed, step

enum class Architecture {
  kBahdanau,  // RNNsearch (Bahdanau et al. 2015): the context enters the decoder's unit, maxout readout
  kLuong,  // Luong et al. 2015: attention after the decoder's LSTM, h̃ = tanh(W [c; h]), input feeding
  kTransformer,  // Vaswani et al. 2017: self-attention on both sides, sinusoidal positions
  kLstmn,  // Cheng et al. 2016, §4: LSTMNs, whose attention over their own tapes takes the place of the state
};

/// Where an LSTMN's decoder looks at its encoder (Cheng et al. 2016, §4).
enum class Fusion {
  kShallow,  // after its step, by score and span: h̃ = tanh(W [c; h])
  kDeep,     // inside its step: the encoder's memory comes in through a gate of its own
};

/// Where a Transformer's sublayer f is normed.
enum class NormPlace {
  kFirst,  // x + f(norm(x)), and a norm behind the last layer (Xiong et al. 2020)
  kLast,   // norm(x + f(x)): the paper's
};

/// Which of a Transformer's three tables of V vectors are one and the same (Vaswani et al. 2017, §3.4; Press & Wolf 2017).
enum class SharedEmbeddings {
  kNone,
  kTarget,  // the target's embedding is the output projection
  kAll,     // the source's too: both sides have one vocabulary
};

/// What a recurrent decoder takes from where it looks (Xu et al. 2015, §4).
enum class Choice {
  kSoft,  // the mean of all places by their weights
  kHard,  // one place: in training sampled, and learnt by REINFORCE; else the likeliest
  kGumbel,  // one place likewise; its gradient is that of the softmax with Gumbel noise (Jang et al. 2017)
};

/// A sequence-to-sequence model: what is translated to what, and how it attends. Fields that an architecture has no use for
/// are ignored, and say so here.
struct TranslatorConfig {
  Architecture architecture = Architecture::kBahdanau;
  std::int64_t source_vocabulary = 0, target_vocabulary = 0;  // ids, the four special ones included
  std::int64_t max_length =
      256;  // most tokens of a source; more is refused (kLocation and learned positions need it)
  std::int64_t embedding_width = 256;  // E; Transformer: C, the width of everything
  std::int64_t hidden = 512;           // recurrent: H of encoder (per direction) and decoder
  std::int64_t layers = 1;             // on both sides each; Bahdanau has one
  double dropout = 0.2;  // recurrent: on embeddings, between layers and on the readout, one mask a
                         // sentence; Transformer: where the paper has it, every element by itself
  bool attention =
      true;  // false: the plain encoder–decoder (RNNenc): the context is the encoder's last state;
             // a Transformer can't do without
  nn::Score score = nn::Score::kAdditive;  // recurrent, as span, window and attention_width
  nn::Span span = nn::Span::kGlobal;
  std::int64_t window = 10;            // D of a local span
  std::int64_t attention_width = 256;  // A
  bool input_feeding = true;           // Luong: h̃ of a step enters the next
  bool reverse_source = false;    // Luong: the source is read from its end (Sutskever et al. 2014)
  Fusion fusion = Fusion::kDeep;  // LSTMN
  Choice choice = Choice::kSoft;  // recurrent
  double temperature = 1;         // kGumbel: of that softmax
  double reward_weight = 1;       // kHard: λ_r, of REINFORCE's reward (Xu et al. 2015, eq. 12)
  double entropy_weight = 0.01;   // kHard: λ_e, of the weights' entropy
  double expected_share = 0.5;  // kHard: share of sentences that take the mean instead of a sample
  std::int64_t heads = 4;       // Transformer: H, a divisor of embedding_width
  std::int64_t feed_forward = 1024;    // Transformer: F, inner width of the feed-forward layers
  NormPlace norm = NormPlace::kFirst;  // Transformer
  SharedEmbeddings share_embeddings = SharedEmbeddings::kNone;  // Transformer
};

/// Sentences of one batch. Targets carry kBegin in front and kEnd behind; shorter rows are padded with 0.
struct TranslationBatch {
  at::Tensor source, source_lengths;  // [B,S] int64, [B] int64
  at::Tensor target, target_lengths;  // [B,T+1] int64, [B] int64 (kBegin and kEnd counted)
};

/// Both are summed over the batch's target tokens.
struct TranslationLoss {
  at::Tensor words;  // what Translator::loss() says, in nats
  at::Tensor
      penalty;  // kHard, in training: what makes the choices learn (REINFORCE's reward and the entropy); else 0
};

class Translator {
 public:
  virtual ~Translator() = default;

  /// Σ over the batch's target tokens of −log p(token | source, tokens before it), label smoothing ε mixed in:
  ///   (1 − ε) · −log p(y) + ε · mean_v −log p(v)
  /// in nats. Differentiable; divide by target_tokens() for a mean.
  virtual TranslationLoss loss(const TranslationBatch& batch, const Pass& pass,
                               double label_smoothing) = 0;
  /// Attention over the source while the given targets are read, [B,T,S] (query t predicts target token t + 1); undefined
  /// without attention. A Transformer's is the mean over the heads of the last decoder layer but one (of the only one), where
  /// Garg et al. 2019 (§4.1) found the alignments; step() gives the same.
  virtual at::Tensor alignment(const TranslationBatch& batch) = 0;

  /// Reads sources for decoding; K = 1.
  virtual Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) = 0;
  /// Puts tokens [B,K] int64 (at first kBegin) behind the hypotheses and predicts what follows.
  virtual DecodingStep step(Decoding& decoding, const at::Tensor& tokens) = 0;

  /// Lays the weights out for begin() and step(), which then run several times faster and give the same to rounding, or with
  /// Precision::kInt8 to that of its products. For a float Transformer; others have nothing to prepare, and throw kUsage for
  /// kInt8. The weights are copied: after a change of parameters() prepare again. loss() and alignment() read parameters().
  virtual void prepare(Precision precision) = 0;

  /// Fixed order; leaf tensors that may be written in place (under no_grad).
  virtual NamedTensors parameters() = 0;
  virtual const TranslatorConfig& config() const = 0;
};

/// Number of target tokens that loss() sums over.
std::int64_t target_tokens(const TranslationBatch& batch);

/// Builds the model, a pure function of config and seed. Throws kUsage on a config that makes no sense.
std::unique_ptr<Translator> make_translator(const TranslatorConfig& config, std::uint64_t seed,
                                            at::ScalarType dtype = at::kFloat);

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const TranslatorConfig& config);

}  // namespace attend::models
