#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace attend::test {

/// The GRU written from its equations, one number at a time, in double: what every fast version is compared with.
/// Matrices are dense and row-major; an empty vector means "not given".
struct GruEquations {
  std::int64_t batch = 0, steps = 0, input = 0, hidden = 0;
  std::vector<double> x, weight_ih, weight_hh, bias_ih, bias_hh, h0, input_mask, recurrent_mask;
  std::vector<std::int64_t> lengths;
  bool reverse = false, reset_before = false;
  std::vector<double> grad_output, grad_h_n;  // cotangents
  std::vector<double> output, h_n;            // results
  std::vector<double> grad_x, grad_weight_ih, grad_weight_hh, grad_bias_ih, grad_bias_hh, grad_h0;

  void run() {
    output.assign(batch * steps * hidden, 0);
    h_n.assign(batch * hidden, 0);
    grad_h0 = h_n;
    grad_x.assign(batch * steps * input, 0);
    grad_weight_ih.assign(3 * hidden * input, 0);
    grad_weight_hh.assign(3 * hidden * hidden, 0);
    grad_bias_ih.assign(3 * hidden, 0);
    grad_bias_hh = grad_bias_ih;
    for (std::int64_t b = 0; b < batch; ++b) run_row(b);
  }

 private:
  struct Step {
    std::int64_t t = 0;
    std::vector<double> x, h, h_before, r, z, n,
        u;  // x, h: after the masks; u: h's part of n before the reset
  };
  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  static double value_or(const std::vector<double>& v, std::int64_t at, double other) {
    return v.empty() ? other : v[at];
  }
  double recurrent_mask_at(std::int64_t b, std::int64_t k) const {
    return value_or(recurrent_mask, b * hidden + k, 1);
  }

  void run_row(std::int64_t b) {
    const std::int64_t length = lengths.empty() ? steps : lengths[b];
    std::vector<double> h(hidden), dh(hidden);
    for (std::int64_t u = 0; u < hidden; ++u) h[u] = value_or(h0, b * hidden + u, 0);
    std::vector<Step> taken;
    for (std::int64_t s = 0; s < length; ++s)
      taken.push_back(forward_step(b, reverse ? length - 1 - s : s, h));
    for (std::int64_t u = 0; u < hidden; ++u) {
      h_n[b * hidden + u] = h[u];
      dh[u] = value_or(grad_h_n, b * hidden + u, 0);
    }
    for (auto step = taken.rbegin(); step != taken.rend(); ++step) backward_step(b, *step, dh);
    for (std::int64_t u = 0; u < hidden; ++u) grad_h0[b * hidden + u] = dh[u];
  }

  Step forward_step(std::int64_t b, std::int64_t t, std::vector<double>& h) {
    Step s;
    s.t = t, s.h_before = h;
    for (std::int64_t k = 0; k < input; ++k)
      s.x.push_back(x[(b * steps + t) * input + k] * value_or(input_mask, b * input + k, 1));
    for (std::int64_t k = 0; k < hidden; ++k) s.h.push_back(h[k] * recurrent_mask_at(b, k));
    const auto of_x = [&](std::int64_t n) {
      double sum = value_or(bias_ih, n, 0);
      for (std::int64_t k = 0; k < input; ++k) sum += weight_ih[n * input + k] * s.x[k];
      return sum;
    };
    const auto of_h = [&](std::int64_t n, const std::vector<double>& from) {
      double sum = value_or(bias_hh, n, 0);
      for (std::int64_t k = 0; k < hidden; ++k) sum += weight_hh[n * hidden + k] * from[k];
      return sum;
    };
    for (std::int64_t u = 0; u < hidden; ++u) {
      s.r.push_back(sigmoid(of_x(u) + of_h(u, s.h)));
      s.z.push_back(sigmoid(of_x(hidden + u) + of_h(hidden + u, s.h)));
    }
    std::vector<double> reset(hidden);
    for (std::int64_t u = 0; u < hidden; ++u) reset[u] = s.r[u] * s.h[u];
    for (std::int64_t u = 0; u < hidden; ++u) {
      const double of_state = of_h(2 * hidden + u, reset_before ? reset : s.h);
      s.u.push_back(of_state);
      s.n.push_back(
          std::tanh(of_x(2 * hidden + u) + (reset_before ? of_state : s.r[u] * of_state)));
      h[u] = output[(b * steps + t) * hidden + u] = (1 - s.z[u]) * s.n[u] + s.z[u] * s.h_before[u];
    }
    return s;
  }

  void backward_step(std::int64_t b, const Step& s, std::vector<double>& dh) {
    std::vector<double> d_x(3 * hidden), d_h(3 * hidden), next(hidden), masked(hidden),
        reset(hidden);
    for (std::int64_t u = 0; u < hidden; ++u) {
      const double now = dh[u] + value_or(grad_output, (b * steps + s.t) * hidden + u, 0);
      next[u] = now * s.z[u];
      d_x[hidden + u] = d_h[hidden + u] = now * (s.h_before[u] - s.n[u]) * s.z[u] * (1 - s.z[u]);
      d_x[2 * hidden + u] = now * (1 - s.z[u]) * (1 - s.n[u] * s.n[u]);
      d_h[2 * hidden + u] = d_x[2 * hidden + u] * (reset_before ? 1 : s.r[u]);
    }
    for (std::int64_t k = 0; k < hidden; ++k) {
      double dr = d_x[2 * hidden + k] * s.u[k];
      if (reset_before) {  // through v = r ∘ h̃
        double dv = 0;
        for (std::int64_t n = 0; n < hidden; ++n)
          dv += d_h[2 * hidden + n] * weight_hh[(2 * hidden + n) * hidden + k];
        dr = dv * s.h[k];
        masked[k] = dv * s.r[k];
      }
      reset[k] = s.r[k] * s.h[k];
      d_x[k] = d_h[k] = dr * s.r[k] * (1 - s.r[k]);
    }
    for (std::int64_t n = 0; n < 3 * hidden; ++n) {
      const bool through_reset = reset_before && n >= 2 * hidden;
      grad_bias_ih[n] += d_x[n];
      grad_bias_hh[n] += d_h[n];
      for (std::int64_t k = 0; k < input; ++k) {
        grad_weight_ih[n * input + k] += d_x[n] * s.x[k];
        grad_x[(b * steps + s.t) * input + k] +=
            d_x[n] * weight_ih[n * input + k] * value_or(input_mask, b * input + k, 1);
      }
      for (std::int64_t k = 0; k < hidden; ++k) {
        grad_weight_hh[n * hidden + k] += d_h[n] * (through_reset ? reset[k] : s.h[k]);
        if (!through_reset) masked[k] += d_h[n] * weight_hh[n * hidden + k];
      }
    }
    for (std::int64_t k = 0; k < hidden; ++k) dh[k] = next[k] + masked[k] * recurrent_mask_at(b, k);
  }
};

}  // namespace attend::test
