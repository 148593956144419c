#include "attend/models/draw.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/logit.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/sigmoid.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "attend/base/error.h"

namespace attend::models {
namespace {

constexpr std::int64_t kSampleRows = 256;  // importance samples of one pass: more are no quicker

void expect_between(const char* field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high)
    fail_usage(std::string("DRAW: ") + field + " is " + std::to_string(value) + " but must be " +
               std::to_string(low) + " to " + std::to_string(high));
}

/// Σ over the last axis of KL(N(mean, σ²) ‖ N(0, 1)) = ½ (mean² + σ² − 1) − log σ
at::Tensor kl_of(const at::Tensor& mean, const at::Tensor& log_sigma) {
  const at::Tensor twice = mean * mean + at::exp(2 * log_sigma) - 2 * log_sigma;
  return 0.5 * (twice - 1).sum(-1);
}

/// Σ over channels and pixels: [N,C,height,width] -> [N].
at::Tensor per_image(const at::Tensor& x) { return x.flatten(1).sum(1); }

}  // namespace

void check_config(const DrawConfig& c) {
  expect_between("height", c.height, 1, 4096);
  expect_between("width", c.width, 1, 4096);
  expect_between("channels", c.channels, 1, 1024);
  expect_between("steps", c.steps, 1, 4096);
  expect_between("encoder_hidden", c.encoder_hidden, 1, 65536);
  expect_between("decoder_hidden", c.decoder_hidden, 1, 65536);
  expect_between("latent", c.latent, 1, 65536);
  if (!c.attention) return;
  expect_between("read_size", c.read_size, 1, 256);
  expect_between("write_size", c.write_size, 1, 256);
}

at::Tensor DrawBound::elbo_nats() const { return reconstruction_nats + kl_nats; }

at::Tensor Draw::noise(const nn::NoiseRows& rows) const {
  return nn::normal_noise(rows, config_.steps, config_.latent, weights_.canvas.scalar_type());
}

at::Tensor Draw::mean_of(const at::Tensor& canvas) const {
  return config_.output == PixelOutput::kBernoulli ? at::sigmoid(canvas) : canvas;
}

at::Tensor Draw::reconstruction(const at::Tensor& canvas, const at::Tensor& images) const {
  if (config_.output == PixelOutput::kBernoulli)
    return per_image(at::binary_cross_entropy_with_logits(canvas, images, {}, {}, 0));
  const at::Tensor log_variance = log_variance_.view({-1, 1, 1});
  const at::Tensor off = images - canvas;
  const double log_two_pi = std::log(2 * std::numbers::pi);
  return 0.5 * per_image(off * off * at::exp(-log_variance) + log_variance + log_two_pi);
}

FilterbankWindow Draw::window_of(const at::Tensor& numbers, std::int64_t n) const {
  if (!numbers.defined()) return {};
  FilterbankWindow w = filterbank_window(numbers.flatten(0, 1), n, config_.height, config_.width);
  for (at::Tensor* t : {&w.centre_x, &w.centre_y, &w.sigma, &w.stride, &w.intensity})
    *t = t->view({numbers.size(0), numbers.size(1)});
  return w;
}

DrawBound Draw::bound(const at::Tensor& images, const at::Tensor& noise) const {
  const DrawResult r = attend::draw(images, noise, weights(), options(false));
  return {reconstruction(r.canvas, images), kl_of(r.mean, r.log_sigma).sum(0)};
}

at::Tensor Draw::sample(const nn::NoiseRows& rows) const {
  const at::NoGradGuard no_grad;
  return mean_of(attend::draw({}, noise(rows), weights(), options(false)).canvas);
}

DrawTrace Draw::trace_samples(const nn::NoiseRows& rows) const {
  const at::NoGradGuard no_grad;
  const DrawResult r = attend::draw({}, noise(rows), weights(), options(true));
  return {mean_of(r.canvases), {}, {}, window_of(r.write_window, config_.write_size), {}};
}

DrawTrace Draw::trace(const at::Tensor& images, const nn::NoiseRows& rows) const {
  const at::NoGradGuard no_grad;
  const DrawResult r = attend::draw(images, noise(rows), weights(), options(true));
  const at::Tensor kl = kl_of(r.mean, r.log_sigma);  // [T,B]
  return {mean_of(r.canvases),
          kl,
          window_of(r.read_window, config_.read_size),
          window_of(r.write_window, config_.write_size),
          {reconstruction(r.canvas, images), kl.sum(0)}};
}

at::Tensor Draw::log_likelihood(const at::Tensor& images, std::int64_t samples, std::uint64_t seed,
                                std::uint64_t first) const {
  if (samples < 1) fail_usage("DRAW: the number of importance samples must be at least 1");
  const at::NoGradGuard no_grad;
  const std::int64_t all = images.size(0) * samples;
  const at::Tensor log_weights = at::empty({all}, at::kDouble);
  for (std::int64_t begin = 0; begin < all; begin += kSampleRows) {
    const std::int64_t n = std::min(kSampleRows, all - begin);
    const std::int64_t image = begin / samples, last = (begin + n - 1) / samples;
    const at::Tensor repeated =
        at::repeat_interleave(images.narrow(0, image, last - image + 1), samples, 0)
            .narrow(0, begin - image * samples, n);
    const at::Tensor epsilon = noise({seed, first + static_cast<std::uint64_t>(begin), n});
    const DrawResult r = attend::draw(repeated, epsilon, weights(), options(false));
    const at::Tensor z = r.mean + at::exp(r.log_sigma) * epsilon;
    // log N(z; 0, 1) − log N(z; μ, σ²) = ½ (ε² − z²) + log σ
    const at::Tensor ratio = (0.5 * (epsilon * epsilon - z * z) + r.log_sigma).sum(2).sum(0);
    log_weights.narrow(0, begin, n).copy_(ratio - reconstruction(r.canvas, repeated));
  }
  return at::logsumexp(log_weights.view({-1, samples}), {1}) -
         std::log(static_cast<double>(samples));
}

void Draw::start_from(const at::Tensor& mean) {
  const at::NoGradGuard no_grad;
  if (mean.sizes() != weights_.canvas.sizes())
    fail_usage("DRAW: the image to start from must be [channels, height, width]");
  // A pixel that is black in every training image may be white in another: 1 in 1000.
  weights_.canvas.copy_(config_.output == PixelOutput::kBernoulli ? at::logit(mean, 1e-3) : mean);
}

DrawOptions Draw::options(bool trace) const {
  DrawOptions o;
  o.attention = config_.attention, o.trace = trace;
  o.read_size = config_.read_size, o.write_size = config_.write_size;
  o.mean = config_.output == PixelOutput::kBernoulli ? DrawMean::kSigmoid : DrawMean::kCanvas;
  return o;
}

DrawWeights Draw::weights() const {
  DrawWeights w = weights_;
  w.write = patch_, w.write_bias = patch_bias_;
  if (!config_.attention) return w;
  w.write = at::cat({patch_, write_window_, read_window_});
  w.write_bias = at::cat({patch_bias_, write_window_bias_, read_window_bias_});
  return w;
}

}  // namespace attend::models
