#pragma once
#include <vector>

#include "attend/ops/draw.h"
#include "ops/recompose.h"

namespace attend {

struct DrawShape {
  std::int64_t steps = 0, batch = 0, channels = 0, height = 0, width = 0;
  std::int64_t encoder = 0, decoder = 0, latent = 0;  // He, Hd, Z
  std::int64_t read = 0, patch = 0, write = 0;        // R; C N² or C height width; P
  std::int64_t seen =
      0;  // channels of an image that a step keeps: x and x̂, or x̂ alone without attention
  std::int64_t pixels() const { return channels * height * width; }
};

/// The weights in the order of DrawWeights, and back.
TensorList draw_list(const DrawWeights& w);
DrawWeights draw_weights(at::TensorList list);
inline constexpr std::size_t kDrawWeights = 15;

/// Checks every argument; throws Error(kUsage).
DrawShape check_draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                     const DrawOptions& o);

/// What backward needs of a forward. Step t reads slot t of states, cells and heads and writes slot t + 1.
struct DrawTape {
  at::Tensor images;                        // [T,B,seen,height,width]
  at::Tensor reads;                         // [T,B,R] with attention
  at::Tensor states;                        // [T+1,B,Hd+He]: h^dec, h^enc
  at::Tensor encoder_cells, decoder_cells;  // [T+1,B,He], [T+1,B,Hd]
  at::Tensor encoder_gates, decoder_gates;  // [T,B,4He], [T,B,4Hd]: i, f, g, o
  at::Tensor latents, codes;                // [T,B,2Z] (μ, log σ), [T,B,Z] (z)
  at::Tensor heads;                         // [T+1,B,P]
  TensorList read_kept, write_kept;  // the filter banks' own: of each part of the rows, its steps

  TensorList list() const;
  static DrawTape of(at::TensorList list);
};

struct DrawForward {
  DrawResult result;
  DrawTape tape;
};
/// Of checked arguments that the kernels can take. With `keep` the tape holds every step, else one slot that is used again.
DrawForward draw_fused(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                       const DrawOptions& o, bool keep);

/// Gradients in the order of DrawWeights. Any of the cotangents may be undefined.
struct DrawCotangents {
  at::Tensor canvas, mean, log_sigma;
};
TensorList draw_backward(const DrawCotangents& grads, const at::Tensor& image,
                         const at::Tensor& noise, const DrawWeights& w, const DrawOptions& o,
                         const DrawTape& tape);

}  // namespace attend
