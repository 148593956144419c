#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attend::interop {

/// A convolution of SqueezeNet 1.0 as its compressed file holds it.
struct SqueezeNetLayer {
  std::string name;  // "conv1", "fire2.squeeze", …, "conv10"
  std::int64_t outputs, inputs, kernel;
  std::vector<float> weights, bias;  // [O,I,K,K], [O]
};

/// The file of "SqueezeNet Deep Compression" (Han et al. 2016): 26 numbers of weights that are not 0, then for each convolution 256
/// shared weights, the biases, for each weight a code of 8 bits, and the gap to the one before it in 4 bits, low half of a byte
/// first; a gap of g passes over g weights that are 0.
/// Throws kBadInput, naming `name` and rule: another size than the numbers ask for, a weight beyond the end of its layer, a
/// number that is not finite. Memory: five million bytes, whatever the file says.
std::vector<SqueezeNetLayer> parse_squeezenet(std::string_view bytes, const std::string& name);

/// Whether the bytes begin as such a file does: no layer has more weights than it can, and the first has some.
bool looks_like_squeezenet(std::string_view bytes);

}  // namespace attend::interop
