#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace attend::nn {

/// Masks made elsewhere, one [B,I] and one [B,H] per layer and direction, in the order of the weights.
/// An undefined one drops nothing.
struct GivenMasks {
  std::vector<at::Tensor> input, recurrent;
};

/// How a forward pass is to be run. Dropout masks depend on (seed, step) alone, so a resumed run
/// repeats them.
struct Pass {
  bool training = false;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  /// Attention gives every position that may be attended to the same weight (what is the choice worth?).
  bool uniform_attention = false;
  /// Training: use these masks instead of drawing (comparisons with other programs).
  const GivenMasks* masks = nullptr;
};

enum class DropoutSite : std::uint32_t { kInput = 0, kRecurrent = 1, kOutput = 2 };

/// Which mask of a step is meant. Layers < 4096, steps < 2^49: beyond that streams would meet.
struct DropoutStream {
  std::int64_t layer = 0;
  bool reverse = false;
  DropoutSite site = DropoutSite::kInput;
};

/// An inverted dropout mask [rows,columns]: 0 with probability `rate`, else 1/(1 − rate), so that
/// its mean is 1 (Srivastava et al. 2014, section 10). Element (r,c) is a pure function of seed,
/// step, stream and r·columns + c: it equals that many draws from Random(seed, kDropout, index)
/// compared with rate · 2³². 0 ≤ rate < 1, else kUsage. Does not depend on threads; about 1 ns per
/// element.
at::Tensor dropout_mask(std::int64_t rows, std::int64_t columns, double rate, const Pass& pass,
                        const DropoutStream& stream, at::ScalarType dtype = at::kFloat);

/// x […,C] with elements dropped by a dropout_mask of its rows when pass.training, else x itself. Differentiable.
at::Tensor dropout(const at::Tensor& x, double rate, const Pass& pass, const DropoutStream& stream);

/// x [B,T,C] with one mask a sequence and channel, shared by its steps (Gal & Ghahramani 2016), when pass.training.
at::Tensor sequence_dropout(const at::Tensor& x, double rate, const Pass& pass,
                            const DropoutStream& stream);

}  // namespace attend::nn
