#include "interop/squeezenet_file.h"

#include <array>
#include <cmath>
#include <cstring>

#include "attend/base/error.h"

namespace attend::interop {
namespace {

constexpr std::size_t kSqueezeLayers = 26, kShared = 256;
constexpr std::size_t kSqueezeHead = kSqueezeLayers * sizeof(std::uint32_t);

std::vector<SqueezeNetLayer> squeezenet_layers() {
  constexpr std::array<std::array<std::int64_t, 2>, 8> kFireWidths{
      {{16, 64}, {16, 64}, {32, 128}, {32, 128}, {48, 192}, {48, 192}, {64, 256}, {64, 256}}};
  std::vector<SqueezeNetLayer> out{{"conv1", 96, 3, 7, {}, {}}};
  std::int64_t inputs = 96;
  for (std::size_t i = 0; i < kFireWidths.size(); ++i) {
    const auto [squeeze, expand] = kFireWidths[i];
    const std::string fire = "fire" + std::to_string(i + 2);
    out.push_back({fire + ".squeeze", squeeze, inputs, 1, {}, {}});
    out.push_back({fire + ".expand1", expand, squeeze, 1, {}, {}});
    out.push_back({fire + ".expand3", expand, squeeze, 3, {}, {}});
    inputs = 2 * expand;
  }
  out.push_back({"conv10", 1000, inputs, 1, {}, {}});
  return out;
}

std::size_t weights_of(const SqueezeNetLayer& layer) {
  return static_cast<std::size_t>(layer.outputs * layer.inputs * layer.kernel * layer.kernel);
}

std::array<std::uint32_t, kSqueezeLayers> counts_of(std::string_view bytes) {
  std::array<std::uint32_t, kSqueezeLayers> out{};
  std::memcpy(out.data(), bytes.data(), kSqueezeHead);
  return out;
}

void expand(SqueezeNetLayer& layer, const std::vector<float>& shared, std::string_view codes,
            std::string_view gaps, const std::string& where) {
  layer.weights.assign(weights_of(layer), 0.f);
  std::size_t next = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const auto both = static_cast<unsigned char>(gaps[i / 2]);
    next += i % 2 == 0 ? both & 15U : both >> 4U;
    if (next >= layer.weights.size()) fail_input(where + "a weight lies beyond the layer's last");
    layer.weights[next++] = shared[static_cast<unsigned char>(codes[i])];
  }
}

}  // namespace

bool looks_like_squeezenet(std::string_view bytes) {
  if (bytes.size() < kSqueezeHead) return false;
  const auto counts = counts_of(bytes);
  const std::vector<SqueezeNetLayer> layers = squeezenet_layers();
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (counts[i] > weights_of(layers[i])) return false;
  return counts[0] > 0;
}

std::vector<SqueezeNetLayer> parse_squeezenet(std::string_view bytes, const std::string& name) {
  if (!looks_like_squeezenet(bytes))
    fail_input(name + ": not a compressed SqueezeNet 1.0: its 26 numbers of weights make no sense");
  const auto counts = counts_of(bytes);
  std::vector<SqueezeNetLayer> layers = squeezenet_layers();
  std::size_t needed = kSqueezeHead;
  for (std::size_t i = 0; i < layers.size(); ++i)
    needed += (kShared + static_cast<std::size_t>(layers[i].outputs)) * sizeof(float) + counts[i] +
              (counts[i] + 1) / 2;
  if (bytes.size() != needed)
    fail_input(name + ": a compressed SqueezeNet of " + std::to_string(needed) +
               " bytes is expected from its numbers of weights, the file has " +
               std::to_string(bytes.size()));
  std::string_view rest = bytes.substr(kSqueezeHead);
  const auto take = [&](std::size_t n) {
    const std::string_view out = rest.substr(0, n);
    rest.remove_prefix(n);
    return out;
  };
  const auto floats = [&](std::size_t n, const std::string& where) {
    std::vector<float> out(n);
    std::memcpy(out.data(), take(n * sizeof(float)).data(), n * sizeof(float));
    for (const float x : out)
      if (!std::isfinite(x)) fail_input(where + "a number is not finite");
    return out;
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    SqueezeNetLayer& layer = layers[i];
    const std::string where = name + ": " + layer.name + ": ";
    const std::vector<float> shared = floats(kShared, where);
    layer.bias = floats(static_cast<std::size_t>(layer.outputs), where);
    const std::string_view codes = take(counts[i]);
    expand(layer, shared, codes, take((counts[i] + 1) / 2), where);
  }
  return layers;
}

}  // namespace attend::interop
