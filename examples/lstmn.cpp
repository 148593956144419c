#include <ATen/ops/tensor.h>
#include <attend/ops/lstmn.h>

#include <iostream>
#include <vector>

// The example that docs/mechanisms/lstmn.md works out by hand: "The FBI is chasing", one number a word.
int main() {
  const auto matrix = [](std::initializer_list<double> v, at::IntArrayRef size) {
    return at::tensor(std::vector<double>(v), at::kDouble).view(size);
  };
  const char* words[] = {"The", "FBI", "is", "chasing"};
  const at::Tensor input = matrix({0.1, 1.0, 0.2, 0.8}, {1, 4, 1});
  attend::LstmnWeights w;
  w.weight =
      matrix({0, 0, 0, 0, 0, 0, 0, 2}, {4, 2});  // gates i, f, o always a half; candidate tanh(2 x)
  w.bias = matrix({0, 0, 0, 0}, {4});
  w.tape_weight = matrix({4}, {1, 1}), w.input_weight = matrix({1}, {1, 1}),
  w.summary_weight = matrix({0}, {1, 1});
  w.score_weight = matrix({3}, {1});
  attend::LstmnOptions options;
  options.need_weights = true;
  const attend::LstmnResult r = attend::lstmn(input, w, options);
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int t = 0; t < 4; ++t)
    std::cout << words[t] << " hidden " << r.hidden[0][t][0].item<double>() << '\n';
  for (int i = 0; i < 3; ++i)
    std::cout << "chasing looks at " << words[i] << ' ' << r.weights[0][3][i].item<double>()
              << '\n';
}
