// DRAW: the bound against loops of double written from the paper's equations, gradients of the whole model against central
// differences, KL against the closed form, the likelihood, samples.
// Planted and seen to fail here: σ' of the canvas left out of its gradient; no gradient through the window that the next step
// reads with; none from the first window to h^dec_0; the gradient of log σ without the noise.
#include "attend/models/draw.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/sigmoid.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "attend/base/error.h"
#include "attend/models/summary.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/message_of.h"
#include "support/threads.h"

namespace attend::models {
namespace {

using test::random_tensor;
using test::same_bits;

DrawConfig tiny(bool attention, PixelOutput output, std::int64_t channels = 1) {
  DrawConfig c;
  c.height = 5, c.width = 6, c.channels = channels, c.steps = 3;
  c.encoder_hidden = 4, c.decoder_hidden = 3, c.latent = 2;
  c.read_size = 2, c.write_size = 3, c.attention = attention, c.output = output;
  return c;
}

const std::vector<DrawConfig> kConfigs = {
    tiny(true, PixelOutput::kBernoulli), tiny(false, PixelOutput::kBernoulli),
    tiny(true, PixelOutput::kGaussian, 3), tiny(false, PixelOutput::kGaussian, 2)};

/// Parameters of order 1 everywhere: initial zeros would hide whole terms.
Draw moved(const DrawConfig& c) {
  Draw model(c, 3, at::kDouble);
  const at::NoGradGuard no_grad;
  std::uint64_t seed = 50;
  for (const auto& [name, p] : model.parameters())
    at::Tensor(p).add_(random_tensor(p.sizes(), ++seed, 0.5));
  return model;
}

at::Tensor images_for(const DrawConfig& c, std::int64_t batch) {
  const at::Tensor x = (random_tensor({batch, c.channels, c.height, c.width}, 8) + 1) / 2;
  return c.output == PixelOutput::kBernoulli ? x.round() : x;
}

// ---- the paper's equations, one image at a time, in loops of double -------------------------------------------------------

using Vector = std::vector<double>;
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  Vector values;
  double at(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
};

Matrix matrix_of(const at::Tensor& t) {
  const at::Tensor d = t.detach().to(at::kDouble).contiguous();
  const double* p = d.const_data_ptr<double>();
  const std::int64_t columns = d.dim() > 1 ? d.size(1) : 1;
  return {d.numel() / std::max<std::int64_t>(columns, 1), columns, Vector(p, p + d.numel())};
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

class Equations {
 public:
  explicit Equations(const Draw& model) : c_(model.config()) {
    for (const auto& [name, t] : model.parameters())
      p_[name] = matrix_of(t.dim() > 2 ? t.flatten() : t);
  }

  struct Found {
    double reconstruction = 0, kl = 0;
  };
  Found bound(const Vector& x, const std::vector<Vector>& noise) const {
    Vector canvas = p("initial.canvas").values;
    State encoder{p("initial.encoder.hidden").values, p("initial.encoder.cell").values};
    State decoder{p("initial.decoder.hidden").values, p("initial.decoder.cell").values};
    Found out;
    for (const Vector& epsilon : noise) {
      Vector error = x;
      for (std::size_t i = 0; i < x.size(); ++i)
        error[i] -= bernoulli() ? sigmoid(canvas[i]) : canvas[i];
      Vector input = read(x, error, decoder.hidden);
      input.insert(input.end(), decoder.hidden.begin(), decoder.hidden.end());
      encoder = lstm("encoder", input, encoder);
      const Vector q = affine("latent.weight", "latent.bias", encoder.hidden);
      Vector z(epsilon.size());
      for (std::size_t i = 0; i < z.size(); ++i) {
        const double mean = q[i], sigma = std::exp(q[z.size() + i]);
        z[i] = mean + sigma * epsilon[i];
        out.kl += 0.5 * (mean * mean + sigma * sigma - std::log(sigma * sigma)) - 0.5;
      }
      decoder = lstm("decoder", z, decoder);
      const Vector stroke = write(decoder.hidden);
      for (std::size_t i = 0; i < canvas.size(); ++i) canvas[i] += stroke[i];
    }
    for (std::size_t i = 0; i < x.size(); ++i) out.reconstruction += pixel(i, x[i], canvas[i]);
    return out;
  }

 private:
  struct State {
    Vector hidden, cell;
  };
  bool bernoulli() const { return c_.output == PixelOutput::kBernoulli; }
  const Matrix& p(const std::string& name) const { return p_.at(name); }

  double pixel(std::size_t i, double x, double canvas) const {
    if (bernoulli()) return -(x * std::log(sigmoid(canvas)) + (1 - x) * std::log(sigmoid(-canvas)));
    const std::size_t channel = i / static_cast<std::size_t>(c_.height * c_.width);
    const double variance = std::exp(p("output.log_variance").values[channel]);
    return 0.5 * ((x - canvas) * (x - canvas) / variance + std::log(2 * M_PI * variance));
  }

  Vector affine(const std::string& weight, const std::string& bias, const Vector& x) const {
    Vector out = p(bias).values;
    for (std::int64_t r = 0; r < p(weight).rows; ++r)
      for (std::int64_t c = 0; c < p(weight).columns; ++c)
        out[static_cast<std::size_t>(r)] += p(weight).at(r, c) * x[static_cast<std::size_t>(c)];
    return out;
  }

  State lstm(const std::string& name, const Vector& x, const State& s) const {
    Vector g = affine(name + ".weight_ih", name + ".bias", x);
    const Matrix& hh = p(name + ".weight_hh");
    for (std::int64_t r = 0; r < hh.rows; ++r)
      for (std::int64_t c = 0; c < hh.columns; ++c)
        g[static_cast<std::size_t>(r)] += hh.at(r, c) * s.hidden[static_cast<std::size_t>(c)];
    const std::size_t h = s.hidden.size();
    State out = s;
    for (std::size_t i = 0; i < h; ++i) {
      out.cell[i] = sigmoid(g[h + i]) * s.cell[i] + sigmoid(g[i]) * std::tanh(g[2 * h + i]);
      out.hidden[i] = sigmoid(g[3 * h + i]) * std::tanh(out.cell[i]);
    }
    return out;
  }

  struct Bank {
    Matrix x, y;  // F_X [N,width], F_Y [N,height]
    double intensity;
  };
  /// Equations 21 to 26; filters and pixels are counted from 1, as there.
  Bank bank(const std::string& which, std::int64_t n, const Vector& hidden) const {
    const Vector w = affine(which + ".window.weight", which + ".window.bias", hidden);
    const double a = static_cast<double>(c_.width), b = static_cast<double>(c_.height);
    const double gx = (a + 1) / 2 * (w[0] + 1), gy = (b + 1) / 2 * (w[1] + 1);
    const double delta = (std::max(a, b) - 1) / static_cast<double>(n - 1) * std::exp(w[3]);
    return {filters(n, c_.width, gx, delta, std::exp(w[2])),
            filters(n, c_.height, gy, delta, std::exp(w[2])), std::exp(w[4])};
  }
  static Matrix filters(std::int64_t n, std::int64_t size, double g, double delta,
                        double variance) {
    Matrix f{n, size, {}};
    for (std::int64_t i = 1; i <= n; ++i) {
      const double mean = g + (static_cast<double>(i) - static_cast<double>(n) / 2 - 0.5) * delta;
      Vector row;
      double sum = 0;
      for (std::int64_t k = 1; k <= size; ++k) {
        const double off = static_cast<double>(k) - mean;
        row.push_back(std::exp(-off * off / (2 * variance))), sum += row.back();
      }
      for (const double v : row) f.values.push_back(v / sum);
    }
    return f;
  }

  Vector read(const Vector& x, const Vector& error, const Vector& hidden) const {
    Vector out;
    if (!c_.attention) {
      out = x;
      out.insert(out.end(), error.begin(), error.end());
      return out;
    }
    const Bank f = bank("read", c_.read_size, hidden);
    for (const Vector* image : {&x, &error})
      for (std::int64_t c = 0; c < c_.channels; ++c)
        for (std::int64_t i = 0; i < c_.read_size; ++i)
          for (std::int64_t j = 0; j < c_.read_size; ++j) {
            double sum = 0;
            for (std::int64_t y = 0; y < c_.height; ++y)
              for (std::int64_t k = 0; k < c_.width; ++k)
                sum += f.y.at(i, y) * (*image)[place(c, y, k)] * f.x.at(j, k);
            out.push_back(f.intensity * sum);
          }
    return out;
  }

  Vector write(const Vector& hidden) const {
    if (!c_.attention) return affine("write.weight", "write.bias", hidden);
    const Vector patch = affine("write.patch.weight", "write.patch.bias", hidden);
    const Bank f = bank("write", c_.write_size, hidden);
    const std::int64_t n = c_.write_size;
    Vector out(static_cast<std::size_t>(c_.channels * c_.height * c_.width));
    for (std::int64_t c = 0; c < c_.channels; ++c)
      for (std::int64_t y = 0; y < c_.height; ++y)
        for (std::int64_t k = 0; k < c_.width; ++k)
          for (std::int64_t i = 0; i < n; ++i)
            for (std::int64_t j = 0; j < n; ++j)
              out[place(c, y, k)] += f.y.at(i, y) * f.x.at(j, k) *
                                     patch[static_cast<std::size_t>((c * n + i) * n + j)] /
                                     f.intensity;
    return out;
  }
  std::size_t place(std::int64_t c, std::int64_t y, std::int64_t x) const {
    return static_cast<std::size_t>((c * c_.height + y) * c_.width + x);
  }

  const DrawConfig c_;
  std::map<std::string, Matrix> p_;
};

TEST(Draw, TheBoundIsThePapers) {
  for (const DrawConfig& c : kConfigs) {
    const Draw model = moved(c);
    const at::Tensor x = images_for(c, 4), noise = model.noise({5, 100, 4});
    const DrawBound ours = model.bound(x, noise);
    const Equations equations(model);
    for (std::int64_t b = 0; b < 4; ++b) {
      std::vector<Vector> epsilon;
      for (std::int64_t t = 0; t < c.steps; ++t) epsilon.push_back(matrix_of(noise[t][b]).values);
      const auto paper = equations.bound(matrix_of(x[b].flatten()).values, epsilon);
      EXPECT_NEAR(ours.reconstruction_nats[b].item<double>(), paper.reconstruction,
                  1e-11 * std::abs(paper.reconstruction));
      EXPECT_NEAR(ours.kl_nats[b].item<double>(), paper.kl, 1e-11 * paper.kl);
      EXPECT_NEAR(ours.elbo_nats()[b].item<double>(), paper.reconstruction + paper.kl, 1e-9);
    }
  }
}

TEST(Draw, GradientsOfEveryParameter) {
  for (const DrawConfig& c : kConfigs) {
    const Draw model = moved(c);
    const at::Tensor x = images_for(c, 3), noise = model.noise({9, 0, 3});
    test::expect_parameter_gradients([&] { return model.bound(x, noise).elbo_nats().sum(); },
                                     model.parameters(), {.most = 0});
  }
}

TEST(Draw, KlIsTheClosedForm) {
  for (const DrawConfig& c : kConfigs) {
    Draw model(c, 1, at::kDouble);
    const at::NoGradGuard no_grad;
    for (const auto& [name, p] : model.parameters()) {
      if (name == "latent.weight") at::Tensor(p).zero_();
      if (name != "latent.bias") continue;
      p.narrow(0, 0, c.latent).fill_(0.7), p.narrow(0, c.latent, c.latent).fill_(-0.4);
    }
    const DrawBound b = model.bound(images_for(c, 2), model.noise({1, 0, 2}));
    const double each = 0.5 * (0.7 * 0.7 + std::exp(-0.8) - 1) + 0.4;
    const double all = each * static_cast<double>(c.steps * c.latent);
    EXPECT_NEAR(b.kl_nats[1].item<double>(), all, 1e-12 * all);
  }
}

TEST(Draw, TheLikelihoodIsTheImportanceWeightedMean) {
  for (const DrawConfig& c : kConfigs) {
    const Draw model = moved(c);
    const at::Tensor x = images_for(c, 3);
    const at::NoGradGuard no_grad;
    const auto weight = [&](std::int64_t image, std::uint64_t stream) {
      const DrawBound b = model.bound(x.narrow(0, image, 1), model.noise({4, stream, 1}));
      return -b.reconstruction_nats[0].item<double>();
    };
    // With σ = 1 and μ = 0 at every step Q is the prior, and the weight is p(x|z) alone.
    for (const auto& [name, p] : model.parameters())
      if (name.starts_with("latent.")) at::Tensor(p).zero_();
    const at::Tensor ours = model.log_likelihood(x, 5, 4, 20);
    for (std::int64_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (std::uint64_t k = 0; k < 5; ++k)
        sum += std::exp(weight(i, 20 + static_cast<std::uint64_t>(i) * 5 + k));
      EXPECT_NEAR(ours[i].item<double>(), std::log(sum / 5), 1e-10);
    }
  }
}

/// With Q far from the prior the weights matter: for any Q the mean weight is p(x), so two Qs must agree.
TEST(Draw, TheLikelihoodDoesNotDependOnTheEncoder) {
  DrawConfig c = tiny(true, PixelOutput::kBernoulli);
  c.steps = 1, c.latent = 1;
  const Draw model = moved(c);
  const at::Tensor x = images_for(c, 2);
  const at::Tensor with = model.log_likelihood(x, 40000, 1);
  const at::NoGradGuard no_grad;
  for (const auto& [name, p] : model.parameters())
    if (name.starts_with("latent.")) at::Tensor(p).zero_();
  const at::Tensor prior = model.log_likelihood(x, 40000, 2);
  EXPECT_LT((with - prior).abs().max().item<double>(), 0.05);
}

TEST(Draw, MoreSamplesTightenTheBound) {
  const DrawConfig c = tiny(true, PixelOutput::kBernoulli);
  const Draw model = moved(c);
  const at::Tensor x = images_for(c, 8);
  const at::NoGradGuard no_grad;
  at::Tensor bound = model.bound(x, model.noise({6, 0, 8})).elbo_nats();
  for (std::uint64_t s = 1; s < 200; ++s)
    bound = bound + model.bound(x, model.noise({6, 8 * s, 8})).elbo_nats();
  const at::Tensor likelihood = model.log_likelihood(x, 500, 7);
  EXPECT_TRUE((-likelihood < bound / 200).all().item<bool>());
}

TEST(Draw, SamplesArePureFunctionsOfTheSeed) {
  for (const DrawConfig& c : kConfigs) {
    const Draw model(c, 2);
    const at::Tensor a = model.sample({7, 0, 4});
    EXPECT_TRUE(same_bits(a, model.sample({7, 0, 4})));
    EXPECT_FALSE(same_bits(a, model.sample({8, 0, 4})));
    const test::WithThreads threads(3);
    EXPECT_TRUE(same_bits(a, model.sample({7, 0, 4})));
    EXPECT_TRUE(same_bits(model.noise({7, 2, 1}), model.noise({7, 0, 4}).narrow(1, 2, 1)));
    const DrawTrace trace = model.trace_samples({7, 0, 4});
    // Of the same canvas; libtorch's sigmoid rounds the end of a vector loop in its own way.
    EXPECT_LT(test::relative_error(trace.images[c.steps - 1], a), 1e-7);
    EXPECT_FALSE(trace.kl_nats.defined());
  }
}

TEST(Draw, NoiseIsStandardNormal) {
  DrawConfig c = tiny(true, PixelOutput::kBernoulli);
  c.steps = 50, c.latent = 100;
  const at::Tensor e = Draw(c).noise({11, 0, 100}).to(at::kDouble);  // 500,000 numbers
  EXPECT_NEAR(e.mean().item<double>(), 0, 0.006);
  EXPECT_NEAR((e * e).mean().item<double>(), 1, 0.009);
  EXPECT_NEAR((e * e * e * e).mean().item<double>(), 3, 0.07);
  EXPECT_NEAR((e.narrow(2, 0, 99) * e.narrow(2, 1, 99)).mean().item<double>(), 0, 0.006);
  EXPECT_NEAR((e.narrow(1, 0, 99) * e.narrow(1, 1, 99)).mean().item<double>(), 0, 0.006);
}

TEST(Draw, TheTraceAddsUp) {
  for (const DrawConfig& c : kConfigs) {
    const Draw model = moved(c);
    const at::Tensor x = images_for(c, 3);
    const DrawTrace t = model.trace(x, {3, 5, 3});
    const DrawBound b = model.bound(x, model.noise({3, 5, 3}));
    EXPECT_TRUE(same_bits(t.bound.elbo_nats(), b.elbo_nats().detach()));
    EXPECT_LT(test::relative_error(t.kl_nats.sum(0), b.kl_nats), 1e-14);
    EXPECT_EQ(t.read_window.centre_x.defined(), c.attention);
  }
}

TEST(Draw, WindowsBeginInTheMiddle) {
  const Draw model(DrawConfig{}, 1);
  const DrawTrace t = model.trace(at::rand({2, 1, 28, 28}), {1, 0, 2});
  const FilterbankWindow& w = t.read_window;
  EXPECT_NEAR(w.centre_x[0][0].item<double>(), 13.5, 3);
  EXPECT_NEAR(w.stride[0][0].item<double>(), 13.5, 5);
  EXPECT_NEAR(w.sigma[0][0].item<double>(), 6.75, 3);
}

TEST(Draw, DrawingStartsFromAnImage) {
  Draw model(tiny(true, PixelOutput::kBernoulli), 1);
  const at::Tensor mean = at::rand({1, 5, 6}) * 0.9 + 0.05;
  model.start_from(mean);
  EXPECT_LT(test::relative_error(at::sigmoid(model.parameters()[0].second), mean), 1e-6);
  EXPECT_NE(test::message_of([&] {
              model.start_from(at::rand({1, 6, 5}));
            }).find("channels"),
            std::string::npos);
}

TEST(Draw, TheSummaryCountsEveryParameter) {
  for (const DrawConfig& c : kConfigs) {
    std::int64_t summed = 0, built = 0;
    for (const LayerSummary& layer : summarize(c)) summed += layer.parameters;
    const Draw model(c);
    for (const auto& [name, p] : model.parameters()) built += p.numel();
    EXPECT_EQ(summed, built);
  }
}

TEST(Draw, ConfigsThatMakeNoSense) {
  const auto message = [](auto spoil) {
    DrawConfig c;
    spoil(c);
    return test::message_of([&] { Draw model(c); });
  };
  EXPECT_EQ(message([](DrawConfig& c) { c.steps = 0; }), "DRAW: steps is 0 but must be 1 to 4096");
  EXPECT_EQ(message([](DrawConfig& c) { c.read_size = 0; }),
            "DRAW: read_size is 0 but must be 1 to 256");
  EXPECT_EQ(message([](DrawConfig& c) { c.write_size = -1; }),
            "DRAW: write_size is -1 but must be 1 to 256");
  EXPECT_EQ(message([](DrawConfig& c) { c.attention = false, c.read_size = 0; }), "");
  EXPECT_EQ(test::message_of([] {
              Draw(DrawConfig{}).log_likelihood(at::rand({1, 1, 28, 28}), 0, 1);
            }),
            "DRAW: the number of importance samples must be at least 1");
}

}  // namespace
}  // namespace attend::models
