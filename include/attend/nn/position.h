#pragma once
#include <ATen/core/Tensor.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace attend::nn {

/// Sinusoidal positions (Vaswani et al. 2017, §3.5):
///   out[p, 2i] = sin(pos / 10000^(2i/C)),  out[p, 2i+1] = cos(pos / 10000^(2i/C)),  pos = offset + p
/// Returns [length, width]; an odd width ends with a sine. Computed in double and rounded to `dtype`.
at::Tensor sinusoidal_positions(std::int64_t length, std::int64_t width, std::int64_t offset = 0,
                                at::ScalarType dtype = at::kFloat);

/// How rotary positions pair the D numbers of a head. Weights trained with one are wrong with the other.
enum class Rotary {
  kNone,
  kInterleaved,  // (x_0, x_1), (x_2, x_3), … : the paper, GPT-J
  kHalves,       // (x_0, x_{D/2}), (x_1, x_{D/2+1}), … : GPT-NeoX, LLaMA in Hugging Face's layout
};

/// Rotary positions (Su et al. 2021, eq. 34): pair i of the vector at position pos = offset + p is turned by the angle
/// pos · base^(−2i/D), so that the product of a query and a key depends on the distance between them alone.
/// x [B,H,L,D] with even D → [B,H,L,D]; differentiable. kNone returns x.
at::Tensor rotate(const at::Tensor& x, Rotary layout, std::int64_t offset = 0, double base = 10000);

/// Adds sinusoidal positions; no parameters.
class SinusoidalPositionImpl : public torch::nn::Cloneable<SinusoidalPositionImpl> {
 public:
  void reset() override {}
  void pretty_print(std::ostream& stream) const override;

  /// input [B,L,C] → input + positions offset … offset + L − 1.
  at::Tensor forward(const at::Tensor& input, std::int64_t offset = 0);

 private:
  at::Tensor table_;  // grown as longer inputs come
};
TORCH_MODULE(SinusoidalPosition);

/// Options of LearnedPosition: the number of positions that have a vector, and C.
struct LearnedPositionOptions {
  LearnedPositionOptions(int64_t max_length, int64_t width)
      : max_length_(max_length), width_(width) {}
  TORCH_ARG(int64_t, max_length);
  TORCH_ARG(int64_t, width);
  TORCH_ARG(uint64_t, seed) = 0;
};

/// Adds a learned vector to every position (Gehring et al. 2017, §3.1): weight [max_length, C] ~ N(0, 0.02²).
class LearnedPositionImpl : public torch::nn::Cloneable<LearnedPositionImpl> {
 public:
  LearnedPositionImpl(int64_t max_length, int64_t width)
      : LearnedPositionImpl(LearnedPositionOptions(max_length, width)) {}
  explicit LearnedPositionImpl(const LearnedPositionOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input [B,L,C] → input + weight[offset … offset + L − 1]; beyond max_length throws Error(kUsage).
  at::Tensor forward(const at::Tensor& input, std::int64_t offset = 0);

  LearnedPositionOptions options;
  at::Tensor weight;
};
TORCH_MODULE(LearnedPosition);

}  // namespace attend::nn
