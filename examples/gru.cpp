#include <ATen/ops/tensor.h>
#include <attend/ops/gru.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/gru.md works out by hand: one sequence, two steps, one input, one unit.
  const at::Tensor input = at::tensor({1.0, -1.0}).view({1, 2, 1});
  const at::Tensor weight_ih = at::tensor({2.0, 1.0, 1.0}).view({3, 1});  // r, z, n
  const at::Tensor weight_hh = at::tensor({0.0, 0.0, 2.0}).view({3, 1});
  const at::Tensor bias_ih = at::tensor({0.0, 0.0, 0.0}), bias_hh = at::tensor({0.0, 0.0, 1.0});
  attend::GruOptions options;
  std::cout.precision(4);
  for (const auto form : {attend::GruForm::kResetAfter, attend::GruForm::kResetBefore}) {
    options.form = form;
    const auto [output, h_n] = attend::gru(input, weight_ih, weight_hh, bias_ih, bias_hh, options);
    std::cout << "h " << output[0][0][0].item<double>() << " then " << h_n[0][0].item<double>()
              << '\n';
  }
}
