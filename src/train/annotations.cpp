#include "train/annotations.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "train/feature_cache.h"

namespace attend::train {
namespace {

constexpr char kFeatureFormat[] =
    "attend image features 1";  // another when the same key would mean other numbers

std::string feature_key(const models::ImageEncoder& encoder, const std::string& images) {
  const models::ImageEncoderConfig& c = encoder.config();
  std::string text = kFeatureFormat;
  for (const std::int64_t n : {static_cast<std::int64_t>(c.network), c.image_size, c.stride})
    text += " " + std::to_string(n);
  return sha256(text + " " + sha256_of(encoder.parameters()) + " " + images);
}

}  // namespace

std::string sha256_of(const models::NamedTensors& weights) {
  std::string sums;
  for (const auto& [name, x] : weights) {
    const at::Tensor plain = x.detach().contiguous();
    sums += name + " " +
            sha256({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()}) + "\n";
  }
  return sha256(sums);
}

void AnnotatedImages::keep(std::vector<std::string>& notes) {
  const models::ImageEncoderConfig& c = encoder_.config();
  if (!c.frozen || images_.size() == 0) return;
  const at::NoGradGuard off;
  CachedFeatures features{
      feature_key(encoder_, images_.sha256_of_all()), images_.size(), c.places(), c.width, {}};
  features.compute = [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(end - begin));
    std::iota(places.begin(), places.end(), begin);
    return encoder_.annotate(images_.batch(places));
  };
  try {
    kept_ = mapped_features(features, feature_folder());
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kIo) throw;
    notes.push_back(std::string("annotations are in memory, not kept on disk: ") + e.what());
    std::vector<at::Tensor> parts;
    constexpr std::int64_t kRows = 32;
    for (std::int64_t begin = 0; begin < features.images; begin += kRows)
      parts.push_back(features.compute(begin, std::min(features.images, begin + kRows)));
    kept_ = at::cat(parts);
  }
  images_.let_pixels_go();
}

at::Tensor AnnotatedImages::batch(const std::vector<std::int64_t>& places) const {
  if (kept_.defined()) return kept_.index_select(0, at::tensor(places, at::kLong));
  return encoder_.annotate(images_.batch(places));
}

}  // namespace attend::train
