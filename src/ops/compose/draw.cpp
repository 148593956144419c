#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "attend/ops/filterbank.h"
#include "ops/draw.h"

namespace attend::compose {
namespace {

/// Tensors of every step, as one with the steps first; undefined where there are none.
at::Tensor all_steps(const TensorList& steps) {
  return steps.empty() ? at::Tensor() : at::stack(steps);
}

}  // namespace

DrawResult draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                const DrawOptions& o) {
  const DrawShape s = check_draw(image, noise, w, o);
  const auto start = [&](const at::Tensor& t) { return t.unsqueeze(0).expand({s.batch, -1}); };
  const at::Tensor no_encoder_bias = at::zeros_like(w.encoder_bias);  // libtorch's cell has two
  const at::Tensor no_decoder_bias = at::zeros_like(w.decoder_bias);
  const at::Tensor size = w.canvas.unsqueeze(0);
  DrawResult out;
  out.canvas = size.expand({s.batch, s.channels, s.height, s.width});
  at::Tensor encoder = start(w.encoder_hidden), encoder_cell = start(w.encoder_cell);
  at::Tensor decoder = start(w.decoder_hidden), decoder_cell = start(w.decoder_cell);
  at::Tensor heads = at::linear(decoder, w.write, w.write_bias);  // [B,P]
  TensorList means, log_sigmas, canvases, read_windows, write_windows;
  for (std::int64_t t = 0; t < s.steps; ++t) {
    at::Tensor code = noise[t];
    if (image.defined()) {
      const at::Tensor mean = o.mean == DrawMean::kSigmoid ? at::sigmoid(out.canvas) : out.canvas;
      at::Tensor read = at::cat({image, image - mean}, 1);  // [B,2C,height,width]
      if (o.attention) {
        const at::Tensor window = heads.narrow(1, s.patch + 5, 5);
        read = filterbank_read(read, window, o.read_size);  // [B,2C,N,N]
        if (o.trace) read_windows.push_back(window);
      }
      std::tie(encoder, encoder_cell) =
          at::lstm_cell(at::cat({read.flatten(1), decoder}, 1), {encoder, encoder_cell},
                        w.encoder_ih, w.encoder_hh, w.encoder_bias, no_encoder_bias);
      const at::Tensor q = at::linear(encoder, w.latent, w.latent_bias);  // [B,2Z]
      means.push_back(q.narrow(1, 0, s.latent));
      log_sigmas.push_back(q.narrow(1, s.latent, s.latent));
      code = means.back() + at::exp(log_sigmas.back()) * code;
    }
    std::tie(decoder, decoder_cell) = at::lstm_cell(code, {decoder, decoder_cell}, w.decoder_ih,
                                                    w.decoder_hh, w.decoder_bias, no_decoder_bias);
    heads = at::linear(decoder, w.write, w.write_bias);
    at::Tensor stroke = heads.narrow(1, 0, s.patch);
    if (o.attention) {
      const at::Tensor window = heads.narrow(1, s.patch, 5);
      stroke = filterbank_write(stroke.unflatten(1, {s.channels, o.write_size, o.write_size}),
                                window, s.height, s.width);
      if (o.trace) write_windows.push_back(window);
    }
    out.canvas = out.canvas + stroke.view_as(out.canvas);
    if (o.trace) canvases.push_back(out.canvas);
  }
  out.mean = all_steps(means), out.log_sigma = all_steps(log_sigmas);
  out.canvases = all_steps(canvases);
  out.read_window = all_steps(read_windows), out.write_window = all_steps(write_windows);
  return out;
}

}  // namespace attend::compose
