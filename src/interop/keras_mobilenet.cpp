#include "interop/keras_mobilenet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/sqrt.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "data/json.h"
#include "models/encoder_stages.h"

namespace attend::interop {
namespace {

constexpr double kKerasEpsilon = 1e-3;  // of the batch normalisations of Keras' MobileNet
constexpr double kFirstChannels = 32;
constexpr char kKerasRoot[] = "model_weights/";

/// "model_weights/conv_dw_1/conv_dw_1/depthwise_kernel:0" as "conv_dw_1/depthwise_kernel".
std::string keras_name(std::string name) {
  if (name.starts_with(kKerasRoot)) name.erase(0, sizeof kKerasRoot - 1);
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  const auto first = name.find('/'), last = name.rfind('/');
  return first == std::string::npos ? name : name.substr(0, first) + name.substr(last);
}

/// Arrays by layer and name, each to be taken once.
class KerasArrays {
 public:
  KerasArrays(const SafetensorsFile& file, const std::string& path) : path_(path) {
    for (const auto& [name, array] : file.tensors)
      if (const std::string plain = keras_name(name);
          !plain.starts_with("conv_preds/") && !all_.emplace(plain, array).second)
        fail_input(path + ": '" + plain + "' is there twice");
  }

  /// In float64.
  at::Tensor take(const std::string& name, at::IntArrayRef shape) {
    const auto found = all_.find(name);
    if (found == all_.end())
      fail_input(path_ + ": '" + name + "' is missing: not Keras' MobileNet v1");
    const at::Tensor out = found->second;
    if (out.sizes() != shape)
      fail_input(path_ + ": '" + name + "' has shape " + shape_text(out.sizes()) + ", expected " +
                 shape_text(shape));
    if (!at::isfinite(out).all().item<bool>())
      fail_input(path_ + ": '" + name + "' holds a number that is not finite");
    all_.erase(found);
    return out.to(at::kDouble);
  }

  double multiplier() const {
    const auto found = all_.find("conv1/kernel");
    if (found == all_.end() || found->second.dim() != 4)
      fail_input(path_ +
                 ": 'conv1/kernel' is missing or not of four dimensions: not Keras' "
                 "MobileNet v1, the only network that is read from HDF5");
    return static_cast<double>(found->second.size(3)) / kFirstChannels;
  }

  void finish() const {
    if (!all_.empty())
      fail_input(path_ + ": '" + all_.begin()->first + "' is no part of Keras' MobileNet v1");
  }

 private:
  const std::string& path_;
  std::map<std::string, at::Tensor> all_;
};

/// "conv1", "dw3", "pw3" as Keras calls them.
std::string keras_layer(const std::string& ours) {
  return ours == "conv1" ? ours : "conv_" + ours.substr(0, 2) + "_" + ours.substr(2);
}

void add_folded(KerasArrays& arrays, const models::Convolution& c, const std::string& path,
                nn::NamedTensors& out) {
  const std::string layer = keras_layer(c.name), norm = layer + "_bn/";
  const bool deep = c.groups > 1 || layer.starts_with("conv_dw");
  at::Tensor kernel =
      deep ? arrays.take(layer + "/depthwise_kernel", {c.kernel, c.kernel, c.outputs, 1})
                 .permute({2, 3, 0, 1})
           : arrays.take(layer + "/kernel", {c.kernel, c.kernel, c.inputs, c.outputs})
                 .permute({3, 2, 0, 1});  // [O,I/groups,K,K]
  const at::Tensor gamma = arrays.take(norm + "gamma", {c.outputs}),
                   beta = arrays.take(norm + "beta", {c.outputs}),
                   mean = arrays.take(norm + "moving_mean", {c.outputs}),
                   variance = arrays.take(norm + "moving_variance", {c.outputs});
  if ((variance < 0).any().item<bool>())
    fail_input(path + ": '" + norm + "moving_variance' holds a number below 0");
  const at::Tensor scale = gamma / (variance + kKerasEpsilon).sqrt();
  kernel = kernel * scale.view({-1, 1, 1, 1});
  out.emplace_back(c.name + ".weight", kernel.to(at::kFloat).contiguous());
  out.emplace_back(c.name + ".bias", (beta - mean * scale).to(at::kFloat));
}

/// What the file says of itself, where it does, must be what is folded and rectified here.
void check_described(const std::string& config, const std::string& path) {
  if (config.empty()) return;
  const nlohmann::json root = data::parse_json(config, path + ": model_config");
  const auto layers = nlohmann::json::json_pointer("/config/layers");
  if (!root.is_object() || !root.contains(layers)) return;
  for (const nlohmann::json& layer : root.at(layers)) {
    if (!layer.is_object() || !layer.contains("class_name") || !layer.contains("config")) continue;
    const auto is = [&](const char* kind, const char* key, double wanted) {
      if (layer.at("class_name") != kind) return;
      const nlohmann::json& of = layer.at("config");
      if (of.is_object() && of.contains(key) &&
          !(of.at(key).is_number() && std::abs(of.at(key).get<double>() - wanted) < 1e-9))
        fail_input(path + ": a " + kind + " has another " + key + " than MobileNet's " +
                   nlohmann::json(wanted).dump());
    };
    is("BatchNormalization", "epsilon", kKerasEpsilon);
    is("ReLU", "max_value", 6);
  }
}

}  // namespace

std::string shape_text(at::IntArrayRef sizes) {
  std::string text = "[";
  for (const std::int64_t n : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

ImageNetwork mobilenet_from_keras(const SafetensorsFile& file, const std::string& path) {
  if (const auto config = file.metadata.find("model_config"); config != file.metadata.end())
    check_described(config->second, path);
  KerasArrays arrays(file, path);
  models::ImageEncoderConfig c;
  c.network = models::EncoderNetwork::kMobileNet, c.stride = c.image_size = 32;
  c.multiplier = arrays.multiplier();
  c.width = models::width_of(c.network, c.stride, c.multiplier);
  try {
    models::check_config(c);
  } catch (const Error& e) {
    fail_input(path + ": " + e.what());
  }
  ImageNetwork out{c.network, c.multiplier, {}};
  for (const models::EncoderStage& stage : models::encoder_stages(c))
    add_folded(arrays, stage.parts.front(), path, out.weights);
  arrays.finish();
  return out;
}

}  // namespace attend::interop
