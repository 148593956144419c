#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/noise.h>
#include <attend/nn/parameters.h>
#include <attend/ops/draw.h>
#include <attend/ops/filterbank.h>

#include <cstdint>
#include <vector>

namespace attend::models {

using nn::NamedTensors;

/// How a pixel is distributed around the final canvas c_T.
enum class PixelOutput {
  kBernoulli,  // p = σ(c_T); pixels between 0 and 1 give the cross-entropy
  kGaussian,   // mean c_T, one learned variance a channel
};

/// DRAW (Gregor et al. 2015). The defaults are the paper's for MNIST.
struct DrawConfig {
  std::int64_t height = 28, width = 28, channels = 1;
  std::int64_t steps = 64;  // T
  std::int64_t encoder_hidden = 256, decoder_hidden = 256;
  std::int64_t latent = 100;                   // Z, of each step
  bool attention = true;                       // false: whole images are read and written
  std::int64_t read_size = 2, write_size = 5;  // N of either window; with attention only
  PixelOutput output = PixelOutput::kBernoulli;
};

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const DrawConfig& config);

/// An upper bound on −log p(x), in nats, one an image (equations 12 to 14). Lower is better.
struct DrawBound {
  at::Tensor
      reconstruction_nats;  // [B], −log p(x | z): of pixels in [0,1] and Gaussian output a density, so perhaps below 0
  at::Tensor
      kl_nats;  // [B], Σ_t KL(Q(z_t | x, z_<t) ‖ N(0, 1)): what the latents tell of the image
  /// Their sum [B]: the negative of the evidence lower bound.
  at::Tensor elbo_nats() const;
};

/// What a model did at each of T steps, for pictures. Images are the mean that the canvas stands for.
struct DrawTrace {
  at::Tensor images;   // [T,B,C,height,width]
  at::Tensor kl_nats;  // [T,B]; undefined for samples
  /// In pixels, each number [T,B]; undefined without attention, read also for samples.
  FilterbankWindow read_window, write_window;
  DrawBound bound;  // undefined for samples
};

/// Initial weights: every matrix U(−1/√n, 1/√n) with n its inputs, which keeps activations of order 1 whatever its width; biases
/// 0, but 1 for the forget gates, so that 64 steps are remembered from the start. Windows begin as the middle half of the image
/// (log δ̃ = log ½) with filters that touch (σ = δ/2) — with the zeros that one would take first, σ = 1 pixel and δ̃ = 1, four
/// read filters see nothing but the corners — and a patch of ones adds about ones (γ = δ^−2).
class Draw {
 public:
  /// A pure function of config and seed. Throws as check_config.
  explicit Draw(const DrawConfig& config, std::uint64_t seed = 0,
                at::ScalarType dtype = at::kFloat);

  /// images [B,C,height,width]; noise [T,B,Z], as noise() makes it. Differentiable in the parameters.
  DrawBound bound(const at::Tensor& images, const at::Tensor& noise) const;
  /// Noise for these rows: an image's depends on its stream alone, not on the batch around it.
  at::Tensor noise(const nn::NoiseRows& rows) const;

  /// The mean image of each of `rows.count` samples of the model, [count,C,height,width]; no gradient.
  at::Tensor sample(const nn::NoiseRows& rows) const;
  /// The same for every step; and what a model does with images [B,C,height,width].
  DrawTrace trace_samples(const nn::NoiseRows& rows) const;
  DrawTrace trace(const at::Tensor& images, const nn::NoiseRows& rows) const;

  /// log p(x) in nats from below, [B] float64: log 1/K Σ_k p(x, z_k)/Q(z_k | x) over K samples (Burda et al. 2016, equation 8),
  /// tighter than the bound and exact as K grows. Image b takes the streams first + b K … first + b K + K − 1 of the seed.
  at::Tensor log_likelihood(const at::Tensor& images, std::int64_t samples, std::uint64_t seed,
                            std::uint64_t first = 0) const;

  /// Lets drawing begin at this image [C,height,width] of values in [0,1] instead of at σ(0) or 0: the training images' mean
  /// spares the first thousands of steps.
  void start_from(const at::Tensor& mean);

  /// Fixed order; leaf tensors that may be written in place (under no_grad).
  const NamedTensors& parameters() const { return named_; }
  const DrawConfig& config() const { return config_; }

 private:
  void make_cells(std::uint64_t seed, at::ScalarType dtype);
  void make_heads(std::uint64_t seed, at::ScalarType dtype);
  at::Tensor add(const char* name, const at::Tensor& value);
  DrawWeights weights() const;
  DrawOptions options(bool trace) const;
  at::Tensor mean_of(const at::Tensor& canvas) const;
  FilterbankWindow window_of(const at::Tensor& numbers, std::int64_t n) const;
  at::Tensor reconstruction(const at::Tensor& canvas, const at::Tensor& images) const;

  DrawConfig config_;
  NamedTensors named_;
  DrawWeights weights_;  // all but write and write_bias, which are joined from the heads
  at::Tensor patch_, patch_bias_, write_window_, write_window_bias_, read_window_,
      read_window_bias_;
  at::Tensor log_variance_;  // [C], of Gaussian pixels
};

}  // namespace attend::models
