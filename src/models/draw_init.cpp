// The parameters of DRAW and their initial values.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "attend/models/draw.h"
#include "attend/models/summary.h"
#include "attend/nn/init.h"

namespace attend::models {
namespace {

/// U(−1/√inputs, 1/√inputs); every parameter of a model has a stream of its own.
at::Tensor fan_in_uniform(const nn::Shape& shape, std::int64_t inputs, std::uint64_t seed,
                          std::uint64_t stream, at::ScalarType dtype) {
  Random random(seed, Purpose::kInit, stream);
  return nn::uniform(shape, 1 / std::sqrt(static_cast<double>(inputs)), random, dtype);
}

/// Of gates i, f, g, o: 1 for f.
at::Tensor gate_bias(std::int64_t hidden, at::ScalarType dtype) {
  const at::Tensor b = at::zeros({4 * hidden}, dtype);
  b.narrow(0, hidden, hidden).fill_(1);
  return b;
}

/// The middle half of the image, filters that touch, and intensity γ = δ^exponent.
at::Tensor window_bias(const DrawConfig& c, std::int64_t n, double exponent, at::ScalarType dtype) {
  const at::Tensor b = at::zeros({5}, dtype);
  const double spread = 0.5;
  const double stride =
      std::max(1.0, spread * static_cast<double>(std::max(c.height, c.width) - 1) /
                        static_cast<double>(std::max<std::int64_t>(n - 1, 1)));
  b[2].fill_(2 * std::log(stride / 2));
  b[3].fill_(std::log(spread));
  b[4].fill_(exponent * std::log(stride));
  return b;
}

std::int64_t read_numbers(const DrawConfig& c) {
  return 2 * c.channels * (c.attention ? c.read_size * c.read_size : c.height * c.width);
}
std::int64_t patch_numbers(const DrawConfig& c) {
  return c.channels * (c.attention ? c.write_size * c.write_size : c.height * c.width);
}

}  // namespace

at::Tensor Draw::add(const char* name, const at::Tensor& value) {
  const at::Tensor leaf = value.detach().set_requires_grad(true);
  named_.emplace_back(name, leaf);
  return leaf;
}

Draw::Draw(const DrawConfig& config, std::uint64_t seed, at::ScalarType dtype) : config_(config) {
  check_config(config);
  const auto zeros = [&](at::IntArrayRef sizes) { return at::zeros(sizes, dtype); };
  const DrawConfig& c = config_;
  weights_.canvas = add("initial.canvas", zeros({c.channels, c.height, c.width}));
  weights_.encoder_hidden = add("initial.encoder.hidden", zeros({c.encoder_hidden}));
  weights_.encoder_cell = add("initial.encoder.cell", zeros({c.encoder_hidden}));
  weights_.decoder_hidden = add("initial.decoder.hidden", zeros({c.decoder_hidden}));
  weights_.decoder_cell = add("initial.decoder.cell", zeros({c.decoder_hidden}));
  make_cells(seed, dtype);
  make_heads(seed, dtype);
  if (c.output ==
      PixelOutput::kGaussian)  // a standard deviation of 0.37 between black 0 and white 1
    log_variance_ = add("output.log_variance", at::full({c.channels}, -2.0, dtype));
}

void Draw::make_cells(std::uint64_t seed, at::ScalarType dtype) {
  const DrawConfig& c = config_;
  const std::int64_t he = c.encoder_hidden, hd = c.decoder_hidden, z = c.latent;
  const auto matrix = [&](std::int64_t rows, std::int64_t inputs, std::uint64_t stream) {
    return fan_in_uniform({rows, inputs}, inputs, seed, stream, dtype);
  };
  weights_.encoder_ih = add("encoder.weight_ih", matrix(4 * he, read_numbers(c) + hd, 1));
  weights_.encoder_hh = add("encoder.weight_hh", matrix(4 * he, he, 2));
  weights_.encoder_bias = add("encoder.bias", gate_bias(he, dtype));
  weights_.latent = add("latent.weight", matrix(2 * z, he, 3));
  weights_.latent_bias = add("latent.bias", at::zeros({2 * z}, dtype));
  weights_.decoder_ih = add("decoder.weight_ih", matrix(4 * hd, z, 4));
  weights_.decoder_hh = add("decoder.weight_hh", matrix(4 * hd, hd, 5));
  weights_.decoder_bias = add("decoder.bias", gate_bias(hd, dtype));
}

void Draw::make_heads(std::uint64_t seed, at::ScalarType dtype) {
  const DrawConfig& c = config_;
  const std::int64_t hd = c.decoder_hidden, patch = patch_numbers(c);
  const auto matrix = [&](std::int64_t rows, std::uint64_t stream) {
    return fan_in_uniform({rows, hd}, hd, seed, stream, dtype);
  };
  if (!c.attention) {
    patch_ = add("write.weight", matrix(patch, 6));
    patch_bias_ = add("write.bias", at::zeros({patch}, dtype));
    return;
  }
  patch_ = add("write.patch.weight", matrix(patch, 6));
  patch_bias_ = add("write.patch.bias", at::zeros({patch}, dtype));
  write_window_ = add("write.window.weight", matrix(5, 7));
  write_window_bias_ = add("write.window.bias", window_bias(c, c.write_size, -2, dtype));
  read_window_ = add("read.window.weight", matrix(5, 8));
  read_window_bias_ = add("read.window.bias", window_bias(c, c.read_size, 0, dtype));
}

std::vector<LayerSummary> summarize(const DrawConfig& c) {
  check_config(c);
  const std::int64_t he = c.encoder_hidden, hd = c.decoder_hidden, z = c.latent;
  const std::int64_t read = read_numbers(c), patch = patch_numbers(c);
  const std::vector<std::int64_t> image{-1, c.channels, c.height, c.width};
  const auto cell = [](std::int64_t inputs, std::int64_t hidden) {
    return 4 * hidden * (inputs + hidden + 1) + 2 * hidden;  // with the learned first state
  };
  std::vector<LayerSummary> out;
  out.push_back({"canvas", "FirstCanvas", image, c.channels * c.height * c.width});
  out.push_back({"read",
                 c.attention ? "FilterbankRead" : "Whole image",
                 {-1, c.steps, read},
                 c.attention ? 5 * (hd + 1) : 0});
  out.push_back({"encoder", "LSTM", {-1, c.steps, he}, cell(read + hd, he)});
  out.push_back({"latent", "Gaussian", {-1, c.steps, z}, 2 * z * (he + 1)});
  out.push_back({"decoder", "LSTM", {-1, c.steps, hd}, cell(z, hd)});
  out.push_back({"write", c.attention ? "FilterbankWrite" : "Dense", image,
                 (patch + (c.attention ? 5 : 0)) * (hd + 1)});
  if (c.output == PixelOutput::kGaussian)
    out.push_back({"output", "Variance", {c.channels}, c.channels});
  return out;
}

}  // namespace attend::models
