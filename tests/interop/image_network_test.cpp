// Networks of other programs: their maps against Keras' (golden/make_image_encoders.py), where a place looks, and every way in which a file
// can be wrong.
//
// Planted and seen to fail here: a step of 2 padded on both sides; no margin, or SqueezeNet's turned round; red for blue; ReLU for ReLU6; the
// mean of a normalisation added; another epsilon; arrays or tensors that are left over let through; halves of a byte exchanged; a
// weight behind the last of its layer; HDF5's program without its lock.
#include "attend/interop/image_network.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "attend/base/file.h"
#include "attend/base/random.h"
#include "attend/interop/hdf5.h"
#include "attend/interop/safetensors.h"
#include "interop/keras_mobilenet.h"
#include "interop/squeezenet_file.h"
#include "support/data.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::interop {
namespace {

namespace fs = std::filesystem;
using models::EncoderNetwork;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kTiny = std::string(ATTEND_GOLDEN) + "/mobilenet.h5";
constexpr std::int64_t kSize = 64;
constexpr double kEps = 0x1p-23;  // of float32

#define SKIP_WITHOUT_HDF5() \
  if (!reads_hdf5()) GTEST_SKIP() << "built without libhdf5"

ErrorKind kind_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.kind();
  }
  return ErrorKind{};
}

/// p[y,x,c] = (7x + 13y + 29c + xy) mod 256
at::Tensor image() {
  const auto line = [](std::int64_t n, at::IntArrayRef shape) {
    return at::arange(n, at::kLong).view(shape);
  };
  const at::Tensor x = line(kSize, {1, kSize, 1}), y = line(kSize, {kSize, 1, 1});
  return (7 * x + 13 * y + 29 * line(3, {1, 1, 3}) + x * y)
      .remainder(256)
      .to(at::kByte)
      .unsqueeze(0);
}

models::ImageEncoderConfig config_of(EncoderNetwork network, std::int64_t stride, double multiplier,
                                     std::int64_t size = kSize) {
  models::ImageEncoderConfig c;
  c.network = network, c.stride = stride, c.multiplier = multiplier, c.image_size = size;
  c.width = models::width_of(network, stride, multiplier);
  return c;
}

models::ImageEncoder encoder_of(const ImageNetwork& network, std::int64_t stride,
                                at::ScalarType dtype = at::kFloat) {
  auto c = config_of(network.network, stride, network.multiplier);
  c.frozen = true;
  models::ImageEncoder out(c, 1, dtype);
  load_image_network(out, network);
  return out;
}

void expect_keras_features(const ImageNetwork& network, const std::string& name) {
  const SafetensorsFile golden =
      read_safetensors(std::string(ATTEND_GOLDEN) + "/image_encoders.safetensors");
  const std::map<std::string, at::Tensor> all(golden.tensors.begin(), golden.tensors.end());
  int seen = 0;
  for (const auto& [name_of_map, wanted] : all) {
    const std::string& key = name_of_map;
    if (!key.starts_with(name + ".") || key.ends_with(".float32")) continue;
    ++seen;
    const auto error_in = [&, &given = wanted](at::ScalarType dtype) {
      const std::int64_t stride = std::stoll(key.substr(name.size() + 1));
      const at::Tensor map = encoder_of(network, stride, dtype).annotate(image())[0];
      const std::int64_t every =
          std::max<std::int64_t>(1, map.size(1) / 32);  // channels in the file
      const at::Tensor ours = map.slice(1, 0, map.size(1), every);
      EXPECT_EQ(ours.sizes(), given.sizes()) << key;
      return (ours - given).abs().max().item<double>() / given.abs().max().item<double>();
    };
    // In float64 all that is off is the rounding of the folded weights.
    const double folding = error_in(at::kDouble), error = error_in(at::kFloat);
    EXPECT_LE(error, 2 * all.at(key + ".float32").item<double>() + 2 * folding + 4 * kEps)
        << key << " folding " << folding;
    EXPECT_LT(error, 1e-4) << key;
  }
  EXPECT_EQ(seen, network.network == EncoderNetwork::kMobileNet ? 3 : 2);
}

TEST(ImageNetwork, MapsAreKeras) {
  SKIP_WITHOUT_HDF5();
  const ImageNetwork tiny = read_image_network(kTiny);
  EXPECT_EQ(tiny.title(), "MobileNet v1, multiplier 0.03125");
  expect_keras_features(tiny, "tiny");
}

TEST(ImageNetwork, MapsOfImagenetsMobileNetAreKeras) {
  SKIP_WITHOUT_HDF5();
  ATTEND_SET_OR_SKIP("imagenet-cnn");
  const std::string folder = *data::find_folder(*data::find_set("imagenet-cnn"));
  expect_keras_features(read_image_network(folder + "/mbnet128_0.25.h5"), "mobilenet");
}

TEST(ImageNetwork, MapsOfImagenetsSqueezeNetAreKeras) {
  ATTEND_SET_OR_SKIP("imagenet-cnn");
  const std::string folder = *data::find_folder(*data::find_set("imagenet-cnn"));
  expect_keras_features(read_image_network(folder + "/compressed_SqueezeNet.net"), "squeezenet");
}

/// First and last column of pixels that the middle place sees, when every path counts.
std::pair<std::int64_t, std::int64_t> columns_seen(const models::ImageEncoderConfig& c) {
  const models::ImageEncoder encoder(c, 1, at::kDouble);
  const at::NoGradGuard off;
  for (const auto& [name, x] : encoder.parameters())  // means, so that no unit is off or at its top
    x.fill_(name.ends_with("bias") ? 0 : 1. / static_cast<double>(x.numel() / x.size(0)));
  const at::Tensor grey = at::full({1, c.image_size, c.image_size, 3}, 160, at::kByte);
  const at::Tensor before = encoder.annotate(grey);
  const std::int64_t side = c.side(), place = side / 2 * side + side / 2;
  const auto sees = [&](std::int64_t x) {
    at::Tensor changed = grey.clone();
    changed.select(2, x).fill_(250);
    return (encoder.annotate(changed) - before)[0][place].abs().max().item<double>() > 0;
  };
  std::int64_t first = 0, last = c.image_size - 1;
  while (first < last && !sees(first)) ++first;
  while (last > first && !sees(last)) --last;
  return {first, last};
}

TEST(ImageNetwork, FieldsLieAroundTheirPlaces) {
  for (const auto& c : {config_of(EncoderNetwork::kMobileNet, 8, 1. / 32, 80),
                        config_of(EncoderNetwork::kMobileNet, 16, 1. / 32, 256),
                        config_of(EncoderNetwork::kSqueezeNet, 8, 1, 136)}) {
    const auto [first, last] = columns_seen(c);
    const double middle = static_cast<double>(first + last + 1) / 2,
                 wanted = (static_cast<double>(c.side() / 2) + .5) * static_cast<double>(c.stride);
    EXPECT_TRUE(first > 0 && last < c.image_size - 1) << "the field is wider than the image";
    EXPECT_LE(std::abs(middle - wanted), .5) << first << " … " << last << " of stride " << c.stride;
  }
}

TEST(ImageNetwork, FrozenHasNoGradientsAndElseAllHave) {
  auto c = config_of(EncoderNetwork::kMobileNet, 8, 1. / 32, 32);
  const models::ImageEncoder trained(c, 1);
  trained.annotate(at::full({1, 32, 32, 3}, 200, at::kByte)).sum().backward();
  for (const auto& [name, x] : trained.parameters()) EXPECT_TRUE(x.grad().defined()) << name;
  c.frozen = true;
  const models::ImageEncoder frozen(c, 1);
  for (const auto& [name, x] : frozen.parameters()) EXPECT_FALSE(x.requires_grad()) << name;
}

TEST(ImageNetwork, StridesAndWidthsThatANetworkHasNot) {
  const auto refusal = [](EncoderNetwork network, std::int64_t stride, double multiplier,
                          std::int64_t width) {
    auto c = config_of(network, 8, 1, 32);
    c.stride = stride, c.multiplier = multiplier, c.width = width;
    return message_of([&] { models::ImageEncoder(c, 1); });
  };
  EXPECT_THAT(refusal(EncoderNetwork::kMobileNet, 4, 1, 64),
              HasSubstr("MobileNet can be cut at 8, 16 or 32"));
  EXPECT_THAT(refusal(EncoderNetwork::kSqueezeNet, 32, 1, 64),
              HasSubstr("SqueezeNet can be cut at 8 or 16"));
  EXPECT_THAT(refusal(EncoderNetwork::kMobileNet, 8, 9, 64), HasSubstr("multiplier"));
  EXPECT_THAT(refusal(EncoderNetwork::kMobileNet, 8, 1, 64), HasSubstr("the encoder's is 256"));
}

class ImageNetworkFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_HDF5();
    network_ = read_image_network(kTiny);
    save_image_network(network_, folder_ / "net");
  }
  std::string refusal() const {
    return message_of([&] { read_image_network(folder_ / "net"); });
  }
  /// The weights, each changed; an empty name leaves it out.
  template <class Change>
  std::string refusal_of(const Change& change) const {
    SafetensorsFile file;
    for (auto [name, x] : network_.weights) {
      change(name, x);
      if (!name.empty()) file.tensors.emplace_back(name, x);
    }
    write_file_atomically(folder_ / "net/model.safetensors", safetensors_bytes(file));
    return refusal();
  }
  test::TemporaryFolder folder_;
  ImageNetwork network_;
};

TEST_F(ImageNetworkFolder, ComesBackBitForBit) {
  const ImageNetwork back = read_image_network(folder_ / "net");
  EXPECT_EQ(back.title(), network_.title());
  ASSERT_EQ(back.weights.size(), network_.weights.size());
  for (std::size_t i = 0; i < back.weights.size(); ++i) {
    EXPECT_EQ(back.weights[i].first, network_.weights[i].first);
    EXPECT_TRUE(at::equal(back.weights[i].second, network_.weights[i].second))
        << back.weights[i].first;
  }
  EXPECT_THAT(message_of([&] { save_image_network(network_, folder_ / "net"); }),
              HasSubstr("holds something already"));
  EXPECT_EQ(kind_of([&] { save_image_network(network_, folder_.write("plain", "x") + "/below"); }),
            ErrorKind::kIo);
}

TEST_F(ImageNetworkFolder, SpoiltWeightsAreNamed) {
  const auto only = [](const char* which, const auto& act) {
    return [which, act](std::string& name, at::Tensor& x) {
      if (name == which) act(name, x);
    };
  };
  EXPECT_THAT(refusal_of(only("dw3.bias", [](auto& name, auto&) { name = ""; })),
              HasSubstr("tensor 'dw3.bias' is missing"));
  EXPECT_THAT(refusal_of(only("dw3.bias", [](auto& name, auto&) { name = "dw3.more"; })),
              HasSubstr("'dw3.bias' is missing"));
  EXPECT_THAT(refusal_of(only("pw2.weight", [](auto&, auto& x) { x = x.transpose(0, 1); })),
              HasSubstr("expected float [4, 2, 1, 1]"));
  EXPECT_THAT(refusal_of(only("pw2.weight", [](auto&, auto& x) { x = x.to(at::kDouble); })),
              HasSubstr("'pw2.weight' is double"));
  EXPECT_THAT(refusal_of(only("pw13.bias", [](auto&, auto& x) { x = x * NAN; })),
              HasSubstr("'pw13.bias' holds a number that is not finite"));
  SafetensorsFile more{network_.weights, {}};
  more.tensors.emplace_back("head.weight", at::ones({2}));
  write_file_atomically(folder_ / "net/model.safetensors", safetensors_bytes(more));
  EXPECT_THAT(refusal(), HasSubstr("'head.weight' is none that this network has"));
}

TEST_F(ImageNetworkFolder, SpoiltConfigsAreNamed) {
  const std::string path = folder_ / "net/config.json", good = read_file(path);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    write_file_atomically(path, text.replace(at, from.size(), to));
    return refusal();
  };
  EXPECT_THAT(with("attend-image-encoder", "bert"), HasSubstr("model_type"));
  EXPECT_THAT(with(": 1,", ": 2,"), HasSubstr("attend_format_version 1"));
  EXPECT_THAT(with("mobilenet", "vgg"), HasSubstr("must be mobilenet or squeezenet"));
  EXPECT_THAT(with("0.03125", "\"small\""), HasSubstr("'multiplier' must be a number"));
  EXPECT_THAT(with("0.03125", "1e300"), HasSubstr("multiplier"));
  EXPECT_THAT(with("0.03125", "1"), HasSubstr("expected float [32, 3, 3, 3]"));
  EXPECT_THAT(with("{", "["), HasSubstr(path));
  fs::remove(path);
  EXPECT_EQ(kind_of([&] { read_image_network(folder_ / "net"); }), ErrorKind::kIo);
}

TEST(KerasFile, ArraysThatAreNoMobileNets) {
  SKIP_WITHOUT_HDF5();
  const SafetensorsFile good = read_hdf5(kTiny);
  const auto refusal = [&](const std::string& which, const auto& act) {
    SafetensorsFile file{{}, good.metadata};
    for (auto [name, x] : good.tensors) {
      if (name == which) act(name, x);
      if (!name.empty()) file.tensors.emplace_back(name, x);
    }
    if (which == "config")
      file.metadata["model_config"] =
          R"({"config":{"layers":[{"class_name":"BatchNormalization","config":{"epsilon":1e-5}}]}})";
    if (which == "rectifier")
      file.metadata["model_config"] =
          R"({"config":{"layers":[{"class_name":"ReLU","config":{"max_value":null}}]}})";
    return message_of([&] { mobilenet_from_keras(file, "x.h5"); });
  };
  const auto nothing = [](auto&, auto&) {};
  const std::string kernel = "conv_dw_2/conv_dw_2/depthwise_kernel:0",
                    mean = "conv_pw_13_bn/conv_pw_13_bn/moving_mean:0";
  EXPECT_EQ(refusal("", nothing), "");
  EXPECT_THAT(refusal(kernel, [](auto& name, auto&) { name = ""; }),
              HasSubstr("x.h5: 'conv_dw_2/depthwise_kernel' is missing"));
  EXPECT_THAT(refusal(kernel,
                      [](auto&, auto& x) {
                        x = x.transpose(2, 3).contiguous().repeat({1, 1, 1, 2});
                      }),
              AllOf(HasSubstr("has shape [3, 3, 1, "), HasSubstr("expected [3, 3, 2, 1]")));
  EXPECT_THAT(refusal(mean, [](auto&, auto& x) { x = x / 0.; }),
              HasSubstr("'conv_pw_13_bn/moving_mean' holds a number that is not finite"));
  EXPECT_THAT(refusal("conv1_bn/conv1_bn/moving_variance:0", [](auto&, auto& x) { x = -x; }),
              HasSubstr("below 0"));
  EXPECT_THAT(
      refusal(mean, [](auto& name, auto&) { name = "conv_pw_14_bn/conv_pw_14_bn/moving_mean:0"; }),
      HasSubstr("is missing"));
  EXPECT_THAT(refusal("conv1/conv1/kernel:0", [](auto& name, auto&) { name = "dense/kernel:0"; }),
              HasSubstr("the only network that is read from HDF5"));
  EXPECT_THAT(refusal("conv1/conv1/kernel:0",
                      [](auto&, auto& x) {
                        x = x.expand({3, 3, 3, 1}).repeat({1, 1, 1, 200});
                      }),
              HasSubstr("multiplier"));
  EXPECT_THAT(refusal("config", nothing), HasSubstr("another epsilon"));
  EXPECT_THAT(refusal("rectifier", nothing), HasSubstr("another max_value"));
  SafetensorsFile more = good;
  more.tensors.emplace_back("extra/kernel:0", at::ones({1}));
  EXPECT_THAT(message_of([&] { mobilenet_from_keras(more, "x.h5"); }),
              HasSubstr("'extra/kernel' is no part"));
  more = good;
  more.tensors.emplace_back("model_weights/conv1/conv1/kernel:0", at::ones({1}));
  EXPECT_THAT(message_of([&] { mobilenet_from_keras(more, "x.h5"); }), HasSubstr("there twice"));
  more = good;
  more.tensors.emplace_back("conv_preds/conv_preds/kernel:0", at::ones({1}));
  EXPECT_EQ(message_of([&] { mobilenet_from_keras(more, "x.h5"); }), "")
      << "what classifies is left out";
}

TEST(KerasFile, DamagedFilesAreRefusedAndNeverMore) {
  SKIP_WITHOUT_HDF5();
  const std::string good = read_file(kTiny);
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& bytes) {
    const std::string path = folder.write("x.h5", bytes);
    return message_of([&] { read_image_network(path); });
  };
  for (std::size_t n = 8; n < good.size(); n += good.size() / 25)
    EXPECT_THAT(refused(good.substr(0, n)), HasSubstr("x.h5: not an HDF5 file, or a damaged one"))
        << n;
  Random random(1, Purpose::kInit, 0);
  int refusals = 0;
  for (int round = 0; round < 60; ++round) {
    std::string bytes = good;
    for (int k = 0; k < 4; ++k)
      bytes[8 + random.below(3000)] = static_cast<char>(random.below(256));
    const std::string said = refused(bytes);
    refusals += !said.empty();
    EXPECT_TRUE(said.empty() || said.find("x.h5: ") != std::string::npos) << said;
  }
  EXPECT_GT(refusals, 10);
}

TEST(ImageNetwork, OtherFilesAreRefusedWithWhatToDo) {
  const test::TemporaryFolder folder;
  const auto refusal = [&](const std::string& bytes) {
    const std::string path = folder.write("x", bytes);
    EXPECT_EQ(kind_of([&] { read_image_network(path); }), ErrorKind::kBadInput);
    return message_of([&] { read_image_network(path); });
  };
  using namespace std::string_literals;
  EXPECT_THAT(refusal("PK\x03\x04...."), HasSubstr("a pickle or PyTorch file"));
  EXPECT_THAT(refusal("\x80\x02}q"s), HasSubstr("can run code when it is read"));
  EXPECT_THAT(refusal("\x1c\0\0\0TFL3"s + std::string(200, '\0')),
              HasSubstr("a TFLite file is not read"));
  EXPECT_THAT(refusal(""), HasSubstr("no kind of file that is known"));
  EXPECT_THAT(refusal("hello"),
              HasSubstr("MobileNet v1 in Keras' HDF5 and compressed SqueezeNet 1.0 are read"));
  EXPECT_EQ(kind_of([&] { read_image_network(folder / "none"); }), ErrorKind::kIo);
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(message_of([&] { read_image_network(folder / "fifo"); }),
              HasSubstr("fifo: not a regular file"));
  EXPECT_EQ(kind_of([&] { read_hdf5(folder / "fifo"); }), ErrorKind::kIo);
  EXPECT_EQ(kind_of([&] { read_image_network(folder.path()); }), ErrorKind::kIo)
      << "a folder without config.json";
}

/// A compressed SqueezeNet whose layers have the biases .5 and these weights (gap before it, code); the shared weights are their place
/// over 8.
std::string squeezenet_bytes(const std::vector<std::vector<std::pair<int, int>>>& weights) {
  const std::vector<int> outputs{96, 16,  64,  64, 16,  64,  64, 32,  128, 128, 32,  128, 128,
                                 48, 192, 192, 48, 192, 192, 64, 256, 256, 64,  256, 256, 1000};
  std::string out, rest;
  const auto add = [](std::string& to, auto value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& of = i < weights.size() ? weights[i] : weights.back();
    add(out, static_cast<std::uint32_t>(of.size()));
    for (int k = 0; k < 256; ++k) add(rest, static_cast<float>(k) / 8);
    for (int k = 0; k < outputs[i]; ++k) add(rest, .5f);
    for (const auto& [gap, code] : of) rest += static_cast<char>(code);
    for (std::size_t k = 0; k < of.size(); k += 2)
      rest += static_cast<char>(of[k].first | (k + 1 < of.size() ? of[k + 1].first << 4 : 0));
  }
  return out + rest;
}

TEST(SqueezeNetFile, GapsAndCodes) {
  const std::string bytes = squeezenet_bytes({{{3, 8}, {0, 255}, {15, 16}}, {{1, 4}}});
  const std::vector<SqueezeNetLayer> layers = parse_squeezenet(bytes, "x");
  ASSERT_EQ(layers.size(), 26U);
  std::vector<float> first(96 * 3 * 49, 0.f), second(16 * 96, 0.f);
  first[3] = 1, first[4] = 255 / 8.f, first[20] = 2, second[1] = .5f;
  EXPECT_EQ(layers[0].weights, first);
  EXPECT_EQ(layers[1].weights, second);
  EXPECT_EQ(layers[1].name, "fire2.squeeze");
  EXPECT_EQ(layers[25].bias, std::vector<float>(1000, .5f));
  const test::TemporaryFolder folder;
  const ImageNetwork network = read_image_network(folder.write("x.net", bytes));
  EXPECT_EQ(network.title(), "SqueezeNet 1.0");
  EXPECT_EQ(network.weights.size(), 50U) << "without what classifies";
  const models::ImageEncoder encoder = encoder_of(network, 16);
  EXPECT_EQ(encoder.parameters()[0].second[0][0][0][3].item<float>(), 1);
}

TEST(SqueezeNetFile, DamageIsNamed) {
  const std::string good = squeezenet_bytes({{{3, 8}}});
  const auto refusal = [](const std::string& bytes) {
    return message_of([&] { parse_squeezenet(bytes, "x.net"); });
  };
  EXPECT_EQ(refusal(good), "");
  EXPECT_THAT(refusal(good.substr(0, good.size() - 1)),
              HasSubstr("x.net: a compressed SqueezeNet of "));
  EXPECT_THAT(refusal(good + "x"), HasSubstr("the file has " + std::to_string(good.size() + 1)));
  EXPECT_THAT(refusal(good.substr(0, 100)), HasSubstr("make no sense"));
  std::string many = good;
  many[3] = 1;  // 16,777,217 weights of conv1
  EXPECT_THAT(refusal(many), HasSubstr("make no sense"));
  std::string none = good;
  none[0] = 0;
  EXPECT_THAT(refusal(none), HasSubstr("make no sense"));
  std::string nan = good;
  const float value = NAN;
  std::memcpy(nan.data() + 104 + 4, &value, sizeof value);
  EXPECT_THAT(refusal(nan), HasSubstr("conv1: a number is not finite"));
  std::vector<std::pair<int, int>> far(96, {15, 1});  // fills fire2.squeeze's 16 · 96 to the last
  far.emplace_back(0, 1);
  EXPECT_THAT(refusal(squeezenet_bytes({{{0, 1}}, far, {{0, 1}}})),
              HasSubstr("fire2.squeeze: a weight lies beyond"));
  far.pop_back();
  EXPECT_EQ(refusal(squeezenet_bytes({{{0, 1}}, far, {{0, 1}}})), "") << "the last one fits";
}

}  // namespace
}  // namespace attend::interop
