#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <attend/ops/filterbank.h>

#include <cmath>
#include <iostream>

int main() {
  // The example that docs/mechanisms/filterbank.md works out by hand: a 3 × 3 image seen through 2 × 2 filters.
  const at::Tensor image = at::arange(1, 10, at::kFloat).view({1, 1, 3, 3});
  const at::Tensor window =
      at::tensor({0.0, 0.0, 0.0, -std::log(2.0), 0.0}, at::kFloat).view({1, 5});
  const at::Tensor patch = attend::filterbank_read(image, window, 2);
  const attend::FilterbankWindow seen = attend::filterbank_window(window, 2, 3, 3);
  std::cout << std::fixed;
  std::cout.precision(4);
  std::cout << "centre " << seen.centre_x.item<double>() << ", " << seen.centre_y.item<double>()
            << ", stride " << seen.stride.item<double>() << ", sigma " << seen.sigma.item<double>()
            << '\n';
  for (int i = 0; i < 2; ++i)
    std::cout << "read " << patch[0][0][i][0].item<double>() << ' '
              << patch[0][0][i][1].item<double>() << '\n';
  const at::Tensor drawn = attend::filterbank_write(patch, window, 3, 3);
  for (int i = 0; i < 3; ++i) {
    std::cout << "write";
    for (int j = 0; j < 3; ++j) std::cout << ' ' << drawn[0][0][i][j].item<double>();
    std::cout << '\n';
  }
}
