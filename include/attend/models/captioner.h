#pragma once
#include <ATen/core/Tensor.h>
#include <attend/models/decoding.h>
#include <attend/models/grid_steps.h>
#include <attend/nn/dropout.h>
#include <attend/nn/parameters.h>

#include <cstdint>
#include <memory>

namespace attend::models {

using nn::NamedTensors;
using nn::Pass;  // how a forward pass is run: training, seed, step

/// How a caption's word looks at the image.
enum class CaptionAttention {
  kSoft,     // the mean of all annotations under the map (Xu et al. 2015, §4.2)
  kHard,     // one annotation: sampled from the map in training, else the likeliest (§4.1)
  kUniform,  // every place the same: no look at all, to see what looking is worth
};

/// What writes the words.
enum class CaptionArchitecture {
  kLstm,         // "Show, Attend and Tell" (Xu et al. 2015)
  kTransformer,  // the decoder of Vaswani et al. 2017 over the annotations
};

/// The decoder behind the encoder.
struct CaptionerConfig {
  CaptionArchitecture architecture = CaptionArchitecture::kLstm;
  std::int64_t vocabulary = 0;         // V, ids, the four special ones included
  std::int64_t max_length = 32;        // most tokens of a caption, without begin and end
  std::int64_t annotation_width = 64;  // D
  std::int64_t embedding_width = 64;   // E; Transformer: C, the width of its layers too
  std::int64_t hidden = 128;           // LSTM: H
  std::int64_t attention_width = 64;   // LSTM: A
  std::int64_t layers = 2;             // Transformer
  std::int64_t heads = 4;              // Transformer: a divisor of embedding_width
  std::int64_t feed_forward = 256;     // Transformer: F, inner width of the feed-forward layers
  double dropout = 0;  // every element by itself: of embeddings and readout; Transformer: where the
                       // paper has it
  CaptionAttention attention = CaptionAttention::kSoft;  // a Transformer has no other
  double doubly_stochastic = 1;  // λ of Σ_i (1 − Σ_t α_ti)² (eq. 14), soft
  double reward_weight = 1;      // λ_r (eq. 12), hard
  double entropy_weight = 0.01;  // λ_e (eq. 12), hard
  double expected_share =
      0.5;  // share of captions that take the mean instead of a sample (§4.1), hard; 0.99 at most
};

/// What a batch of captions costs, in nats: differentiate their sum (over the number of tokens, for a mean).
struct CaptionLoss {
  at::Tensor
      words;  // Σ over the captions' tokens, kEnd included, of −log p(token | image, tokens before)
  at::Tensor
      penalty;  // the rest of the loss: λ Σ (1 − Σ α)², or what REINFORCE adds; 0 where there is none
};

/// What happens while given captions are read: place t of each tensor belongs to token t + 1. 0 for padding.
struct CaptionReading {
  at::Tensor maps;               // [B,T,L], α
  at::Tensor gates;              // [B,T], β; 1 where the decoder has no gate
  at::Tensor log_probabilities;  // [B,T], log p(token | image, tokens before)
};

/// Writes captions, word by word, from annotations a [L,D] of an image. Where annotations come from is the caller's affair:
/// ImageEncoder, or features of another network read from disk.
///
/// kLstm, "Show, Attend and Tell":
///   h_0 = tanh(W_h ā + b_h),  c_0 = tanh(W_c ā + b_c),  ā the mean annotation                       (§3.1.2)
///   e_i = v·tanh(W h_{t−1} + U a_i + b),  α = softmax(e),  z = β Σ_i α_i a_i,  β = σ(f·h_{t−1} + b_f)    (eq. 4–6, §4.2.1)
///   h_t, c_t = LSTM([E y_{t−1}; z], h_{t−1}, c_{t−1})                                           (eq. 1–3)
///   p(y_t) = softmax(L_o tanh(E y_{t−1} + L_h h_t + L_z z))            (eq. 7; the tanh is that of the authors' program)
/// α is the map of word y_t. With kHard the sum over i is one a_s, s ~ α.
///
/// Hard attention is trained on a bound of log p(y) with REINFORCE (eq. 11, 12). The reward of the choice for word t is
/// Σ_{u ≥ t} log p(y_u), and the baseline that is subtracted is a moving average (0.9 : 0.1) kept for each number of words that
/// are still to come: the paper takes the whole caption's log p and one average, which has the same mean, because words before a
/// choice do not depend on it, and more variance. In a caption that takes the mean (expected_share) gradients go through the mean.
///
/// kTransformer: the decoder of Vaswani et al. 2017, norms first, over m_i = M a_i + b_m:
///   x_t = √C E y_{t−1} + position t;  in each layer: self-attention over x_1 … x_t, attention over m, feed-forward
///   p(y_t) = softmax(O norm(x_t) + b_o)
/// The map of a word is the mean over the heads of the last layer but one (of the only one), as for translation (Translator).
class Captioner {
 public:
  virtual ~Captioner() = default;

  /// annotations [B,L,D], one image for each caption; tokens [B,T+1] int64: kBegin, the caption, kEnd, kPadding up to the longest.
  /// With pass.training hard attention samples, and moves its baseline. Throws kUsage for other shapes and for captions over
  /// max_length.
  virtual CaptionLoss loss(const at::Tensor& annotations, const at::Tensor& tokens,
                           const Pass& pass) = 0;

  /// Reads given captions, without dropout and without gradients.
  virtual CaptionReading read(const at::Tensor& annotations, const at::Tensor& tokens) = 0;

  /// Looks at images for decoding, annotations [B,L,D]; K = 1.
  virtual Decoding begin(const at::Tensor& annotations) = 0;
  /// Puts tokens [B,K] int64 (at first kBegin) behind the hypotheses and predicts what follows.
  virtual DecodingStep step(Decoding& decoding, const at::Tensor& tokens) = 0;

  /// Fixed order; leaf tensors that may be written in place (under no_grad). Hard attention's baseline is one of them, without
  /// gradient, so that a training that goes on later goes on with it.
  virtual const NamedTensors& parameters() const = 0;
  virtual const CaptionerConfig& config() const = 0;
};

/// Builds the model, a pure function of config and seed. Throws kUsage on a config that makes no sense.
std::unique_ptr<Captioner> make_captioner(const CaptionerConfig& config, std::uint64_t seed,
                                          at::ScalarType dtype = at::kFloat);

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const CaptionerConfig& config);

/// A captioner and the images it is to describe, as the searches of attend/decode/search.h drive them; hypotheses keep their
/// maps. Holds a reference to the captioner.
class CaptionerSteps final : public GridSteps {
 public:
  CaptionerSteps(Captioner& captioner, at::Tensor annotations);  // [B,L,D]

  std::int64_t sources() const override { return annotations_.size(0); }
  std::int64_t vocabulary() const override { return captioner_.config().vocabulary; }

 protected:
  Decoding begin() override { return captioner_.begin(annotations_); }
  DecodingStep advance(Decoding& decoding, const at::Tensor& tokens) override {
    return captioner_.step(decoding, tokens);
  }

 private:
  Captioner& captioner_;
  const at::Tensor annotations_;
};

}  // namespace attend::models
