#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend {

/// The parameters of DRAW's time loop. C channels; He, Hd units of the encoder's and the decoder's LSTM (gates i, f, g, o); Z
/// latent variables a step. R numbers are read a step: 2 C N² with attention, 2 C height width without.
struct DrawWeights {
  at::Tensor canvas;                                // [C,height,width], c_0
  at::Tensor encoder_hidden, encoder_cell;          // [He], the state before the first step
  at::Tensor decoder_hidden, decoder_cell;          // [Hd]
  at::Tensor encoder_ih, encoder_hh, encoder_bias;  // [4He,R+Hd] of [r; h^dec], [4He,He], [4He]
  at::Tensor latent, latent_bias;                   // [2Z,He], [2Z]: the means, then log σ
  at::Tensor decoder_ih, decoder_hh, decoder_bias;  // [4Hd,Z], [4Hd,Hd], [4Hd]
  /// [P,Hd], [P]. Attention: P = C N² + 10, of the patch that is written, its window, and the window that the next step reads
  /// through (numbers as in ops/filterbank.h). Without: P = C height width, of what is added to the canvas.
  at::Tensor write, write_bias;
};

/// What the canvas means, which the error image x̂_t = x − mean(c_{t−1}) needs.
enum class DrawMean {
  kSigmoid,  // σ(c): of Bernoulli pixels
  kCanvas,   // c: of Gaussian pixels
};

struct DrawOptions {
  bool attention = true;
  std::int64_t read_size = 2, write_size = 5;  // N of either window; of no use without attention
  DrawMean mean = DrawMean::kSigmoid;
  bool trace =
      false;  // keep what happened at every step, for pictures; then nothing is differentiable
};

struct DrawResult {
  at::Tensor canvas;           // [B,C,height,width], c_T
  at::Tensor mean, log_sigma;  // [T,B,Z] of Q(z_t | x, z_<t); undefined without an image
  at::Tensor canvases;         // [T,B,C,height,width], c_1 … c_T; trace only, as the next
  at::Tensor read_window,
      write_window;  // [T,B,5]; undefined without attention (read also without image)
};

/// All T steps of DRAW (Gregor et al. 2015, equations 3 to 8), for t = 1 … T:
///   x̂ = x − mean(c_{t−1})                              r = [γ F_Y x F_Xᵀ; γ F_Y x̂ F_Xᵀ], or [x; x̂] without attention
///   h^enc_t = LSTM(h^enc_{t−1}, [r; h^dec_{t−1}])      [μ_t; log σ_t] = latent · h^enc_t + latent_bias
///   z_t = μ_t + σ_t ∘ noise_t                          h^dec_t = LSTM(h^dec_{t−1}, z_t)
///   c_t = c_{t−1} + write(h^dec_t)
/// image [B,C,height,width]; noise [T,B,Z], standard normal. With an undefined image there is no encoder: z_t = noise_t, and
/// the canvas is a sample of the model (equation 9).
///
/// Differentiable in every weight, twice (the second time through the definition). Float and double on the CPU run one fused
/// loop forward and one backward: LSTM cells and filter banks in kernels of their own, weights packed once for all steps, the
/// gradient of a weight one product over all T · B rows. Anything else, gradients of image or noise, and gradients of samples
/// run compose::draw; last_dispatch() says which. The bits do not depend on the number of threads. T is at least 1; B = 0 is
/// fine. Throws Error(kUsage) naming argument, shape and rule.
/// Cost with attention: 8 T B (He (R + Hd + He) + Hd (Z + Hd)) operations and what is smaller, twice that backward; kept for it
/// are T B (5 He + 5 Hd + 2 C height width) numbers and what is smaller.
DrawResult draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& weights,
                const DrawOptions& options = {});

namespace compose {
/// The definition in plain ATen (at::lstm_cell, compose::filterbank_read and _write): oracle of the tests, path of every other
/// device and dtype.
DrawResult draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& weights,
                const DrawOptions& options = {});
}  // namespace compose
}  // namespace attend
