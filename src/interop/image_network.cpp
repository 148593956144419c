#include "attend/interop/image_network.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/hdf5.h"
#include "attend/interop/safetensors.h"
#include "data/json.h"
#include "interop/byte_source.h"
#include "interop/keras_mobilenet.h"
#include "interop/squeezenet_file.h"
#include "models/encoder_stages.h"

namespace attend::interop {
namespace {

namespace fs = std::filesystem;
using models::EncoderNetwork;

constexpr char kNetworkType[] = "attend-image-encoder";
constexpr std::int64_t kNetworkFormat = 1;
constexpr std::uint64_t kMostNetworkBytes = std::uint64_t{1} << 30;
constexpr std::string_view kHdf5Magic("\x89HDF\r\n\x1a\n", 8);

const char* network_name(EncoderNetwork network) {
  return network == EncoderNetwork::kMobileNet ? "mobilenet" : "squeezenet";
}

/// The whole network, as far as it makes maps.
models::ImageEncoderConfig whole(EncoderNetwork network, double multiplier) {
  models::ImageEncoderConfig c;
  c.network = network, c.multiplier = multiplier;
  c.stride = c.image_size = network == EncoderNetwork::kMobileNet ? 32 : 16;
  c.width = models::width_of(network, c.stride, multiplier);
  return c;
}

/// What else may have been meant, by how its bytes begin.
[[noreturn]] void refuse_kind(std::string_view head, const std::string& path) {
  const auto at = [&](std::size_t from, std::string_view magic) {
    return head.size() >= from + magic.size() && head.substr(from, magic.size()) == magic;
  };
  const std::string here = "; MobileNet v1 in Keras' HDF5 and compressed SqueezeNet 1.0 are read";
  if (at(0, "PK\x03\x04") || at(0, std::string_view("\x80\x02", 2)) ||
      at(0, std::string_view("\x80\x04", 2)))
    fail_input(path +
               ": a pickle or PyTorch file, or another zip: such a file can run code when it is "
               "read, so none is" +
               here);
  if (at(4, "TFL3")) fail_input(path + ": a TFLite file is not read" + here);
  fail_input(path + ": no kind of file that is known" + here);
}

ImageNetwork network_from_squeezenet(std::string_view bytes, const std::string& path) {
  ImageNetwork out{EncoderNetwork::kSqueezeNet, 1, {}};
  for (const SqueezeNetLayer& layer : parse_squeezenet(bytes, path)) {
    if (layer.name == "conv10") continue;  // it classifies
    out.weights.emplace_back(
        layer.name + ".weight",
        at::tensor(layer.weights).view({layer.outputs, layer.inputs, layer.kernel, layer.kernel}));
    out.weights.emplace_back(layer.name + ".bias", at::tensor(layer.bias));
  }
  return out;
}

/// Names, shapes, dtype and finiteness of all that a whole network has, in its order.
nn::NamedTensors checked_weights(const models::ImageEncoderConfig& c, const SafetensorsFile& file,
                                 const std::string& path) {
  std::map<std::string, at::Tensor> all(file.tensors.begin(), file.tensors.end());
  nn::NamedTensors out;
  const auto take = [&](const std::string& name, at::IntArrayRef shape) {
    const auto found = all.find(name);
    if (found == all.end()) fail_input(path + ": tensor '" + name + "' is missing");
    const at::Tensor& x = found->second;
    if (x.sizes() != shape || x.scalar_type() != at::kFloat)
      fail_input(path + ": tensor '" + name + "' is " + std::string(x.dtype().name()) + " " +
                 shape_text(x.sizes()) + ", expected float " + shape_text(shape));
    if (!at::isfinite(x).all().item<bool>())
      fail_input(path + ": tensor '" + name + "' holds a number that is not finite");
    out.emplace_back(name, x);
    all.erase(found);
  };
  for (const models::EncoderStage& stage : models::encoder_stages(c))
    for (const models::Convolution& part : stage.parts) {
      take(part.name + ".weight",
           {part.outputs, part.inputs / part.groups, part.kernel, part.kernel});
      take(part.name + ".bias", {part.outputs});
    }
  if (!all.empty())
    fail_input(path + ": tensor '" + all.begin()->first + "' is none that this network has");
  return out;
}

ImageNetwork read_folder(const std::string& folder) {
  const std::string name = folder + "/config.json";
  const nlohmann::json root = data::parse_json(read_file(name), name);
  const auto has = [&](const char* key, const nlohmann::json& value) {
    return root.is_object() && root.contains(key) && root.at(key) == value;
  };
  if (!has("model_type", kNetworkType))
    fail_input(name + ": model_type is not '" + kNetworkType +
               "': `attend import` makes such a folder");
  if (!has("attend_format_version", kNetworkFormat))
    fail_input(name + ": this version reads attend_format_version " +
               std::to_string(kNetworkFormat));
  const bool mobile = has("network", "mobilenet");
  if (!mobile && !has("network", "squeezenet"))
    fail_input(name + ": 'network' must be mobilenet or squeezenet");
  double multiplier = 1;
  if (mobile) {
    if (!root.contains("multiplier") || !root.at("multiplier").is_number())
      fail_input(name + ": 'multiplier' must be a number");
    multiplier = root.at("multiplier").get<double>();
  }
  const auto network = mobile ? EncoderNetwork::kMobileNet : EncoderNetwork::kSqueezeNet;
  if (!(multiplier >= 0 && multiplier <= 1e3)) multiplier = 0;  // check_config names the range
  const models::ImageEncoderConfig c = whole(network, multiplier);
  try {
    models::check_config(c);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  const std::string path = folder + "/model.safetensors";
  return {network, multiplier, checked_weights(c, read_safetensors(path), path)};
}

}  // namespace

std::string ImageNetwork::title() const {
  if (network != EncoderNetwork::kMobileNet) return "SqueezeNet 1.0";
  return "MobileNet v1, multiplier " + nlohmann::json(multiplier).dump();
}

ImageNetwork read_image_network(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return read_folder(path);
  const ByteSource source(path);
  if (source.size() > kMostNetworkBytes) fail_input(path + ": larger than 1 GiB");
  std::string head(std::min<std::uint64_t>(source.size(), 256), '\0');
  source.read(0, head.size(), head.data());
  if (head.starts_with(kHdf5Magic)) return mobilenet_from_keras(read_hdf5(path), path);
  if (!looks_like_squeezenet(head)) refuse_kind(head, path);
  std::string bytes(source.size(), '\0');
  source.read(0, bytes.size(), bytes.data());
  return network_from_squeezenet(bytes, path);
}

void save_image_network(const ImageNetwork& network, const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_io(folder + ": cannot make this folder: " + error.message());
  if (!fs::is_empty(folder, error) || error)
    fail_usage(folder + ": the folder holds something already: give another, or empty it");
  nlohmann::ordered_json config{{"model_type", kNetworkType},
                                {"architectures", {"ImageEncoder"}},
                                {"attend_format_version", kNetworkFormat},
                                {"network", network_name(network.network)}};
  if (network.network == EncoderNetwork::kMobileNet) config["multiplier"] = network.multiplier;
  write_file_atomically(folder + "/model.safetensors", safetensors_bytes({network.weights, {}}));
  write_file_atomically(folder + "/config.json", config.dump(2) + "\n");
}

void load_image_network(models::ImageEncoder& encoder, const ImageNetwork& network) {
  if (encoder.config().network != network.network ||
      encoder.config().multiplier != network.multiplier)
    fail_usage("load_image_network: the encoder is no " + network.title());
  const std::map<std::string, at::Tensor> all(network.weights.begin(), network.weights.end());
  const at::NoGradGuard off;
  for (const auto& [name, to] : encoder.parameters()) at::Tensor(to).copy_(all.at(name));
}

}  // namespace attend::interop
