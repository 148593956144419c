#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace attend::test {

/// The LSTM written from its equations, one number at a time, in double: what every fast version is compared with.
/// Matrices are dense and row-major; an empty vector means "not given".
struct LstmEquations {
  std::int64_t batch = 0, steps = 0, input = 0, hidden = 0;
  std::vector<double> x, weight_ih, weight_hh, bias, h0, c0, input_mask, recurrent_mask;
  std::vector<std::int64_t> lengths;
  bool reverse = false;
  // cotangents
  std::vector<double> grad_output, grad_h_n, grad_c_n;
  // results
  std::vector<double> output, h_n, c_n;
  std::vector<double> grad_x, grad_weight_ih, grad_weight_hh, grad_bias, grad_h0, grad_c0;

  void run() {
    output.assign(batch * steps * hidden, 0);
    h_n.assign(batch * hidden, 0);
    c_n = h_n, grad_h0 = h_n, grad_c0 = h_n;
    grad_x.assign(batch * steps * input, 0);
    grad_weight_ih.assign(4 * hidden * input, 0);
    grad_weight_hh.assign(4 * hidden * hidden, 0);
    grad_bias.assign(4 * hidden, 0);
    for (std::int64_t b = 0; b < batch; ++b) run_row(b);
  }

 private:
  struct Step {
    std::int64_t t = 0;
    std::vector<double> x, h, c_before, i, f, g, o, c;  // x, h: after the masks
  };
  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  static double value_or(const std::vector<double>& v, std::int64_t at, double other) {
    return v.empty() ? other : v[at];
  }

  void run_row(std::int64_t b) {
    const std::int64_t length = lengths.empty() ? steps : lengths[b];
    std::vector<double> h(hidden), c(hidden);
    for (std::int64_t u = 0; u < hidden; ++u) {
      h[u] = value_or(h0, b * hidden + u, 0);
      c[u] = value_or(c0, b * hidden + u, 0);
    }
    std::vector<Step> taken;
    for (std::int64_t s = 0; s < length; ++s)
      taken.push_back(forward_step(b, reverse ? length - 1 - s : s, h, c));
    for (std::int64_t u = 0; u < hidden; ++u)
      h_n[b * hidden + u] = h[u], c_n[b * hidden + u] = c[u];
    std::vector<double> dh(hidden), dc(hidden);
    for (std::int64_t u = 0; u < hidden; ++u) {
      dh[u] = value_or(grad_h_n, b * hidden + u, 0);
      dc[u] = value_or(grad_c_n, b * hidden + u, 0);
    }
    for (auto step = taken.rbegin(); step != taken.rend(); ++step) backward_step(b, *step, dh, dc);
    for (std::int64_t u = 0; u < hidden; ++u)
      grad_h0[b * hidden + u] = dh[u], grad_c0[b * hidden + u] = dc[u];
  }

  Step forward_step(std::int64_t b, std::int64_t t, std::vector<double>& h,
                    std::vector<double>& c) {
    Step s;
    s.t = t, s.c_before = c;
    for (std::int64_t k = 0; k < input; ++k)
      s.x.push_back(x[(b * steps + t) * input + k] * value_or(input_mask, b * input + k, 1));
    for (std::int64_t k = 0; k < hidden; ++k)
      s.h.push_back(h[k] * value_or(recurrent_mask, b * hidden + k, 1));
    const auto gate = [&](std::int64_t n) {
      double sum = bias[n];
      for (std::int64_t k = 0; k < input; ++k) sum += weight_ih[n * input + k] * s.x[k];
      for (std::int64_t k = 0; k < hidden; ++k) sum += weight_hh[n * hidden + k] * s.h[k];
      return sum;
    };
    for (std::int64_t u = 0; u < hidden; ++u) {
      s.i.push_back(sigmoid(gate(u)));
      s.f.push_back(sigmoid(gate(hidden + u)));
      s.g.push_back(std::tanh(gate(2 * hidden + u)));
      s.o.push_back(sigmoid(gate(3 * hidden + u)));
      s.c.push_back(s.f[u] * c[u] + s.i[u] * s.g[u]);
    }
    c = s.c;
    for (std::int64_t u = 0; u < hidden; ++u)
      h[u] = output[(b * steps + t) * hidden + u] = s.o[u] * std::tanh(c[u]);
    return s;
  }

  void backward_step(std::int64_t b, const Step& s, std::vector<double>& dh,
                     std::vector<double>& dc) {
    std::vector<double> d(4 * hidden);
    for (std::int64_t u = 0; u < hidden; ++u) {
      const double tc = std::tanh(s.c[u]),
                   now = dh[u] + value_or(grad_output, (b * steps + s.t) * hidden + u, 0);
      const double cell = dc[u] + now * s.o[u] * (1 - tc * tc);
      d[u] = cell * s.g[u] * s.i[u] * (1 - s.i[u]);
      d[hidden + u] = cell * s.c_before[u] * s.f[u] * (1 - s.f[u]);
      d[2 * hidden + u] = cell * s.i[u] * (1 - s.g[u] * s.g[u]);
      d[3 * hidden + u] = now * tc * s.o[u] * (1 - s.o[u]);
      dc[u] = cell * s.f[u];
    }
    dh.assign(hidden, 0);
    for (std::int64_t n = 0; n < 4 * hidden; ++n) {
      grad_bias[n] += d[n];
      for (std::int64_t k = 0; k < input; ++k) {
        grad_weight_ih[n * input + k] += d[n] * s.x[k];
        grad_x[(b * steps + s.t) * input + k] +=
            d[n] * weight_ih[n * input + k] * value_or(input_mask, b * input + k, 1);
      }
      for (std::int64_t k = 0; k < hidden; ++k) {
        grad_weight_hh[n * hidden + k] += d[n] * s.h[k];
        dh[k] += d[n] * weight_hh[n * hidden + k] * value_or(recurrent_mask, b * hidden + k, 1);
      }
    }
  }
};

}  // namespace attend::test
