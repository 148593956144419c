#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "attend/models/image_encoder.h"
#include "train/captioning.h"

namespace attend::train {

/// The images of a part as the decoder sees them: annotations that the encoder computes whenever they are asked for, or, of a
/// frozen one, that are kept. Holds a reference to the encoder.
class AnnotatedImages {
 public:
  AnnotatedImages(const models::ImageEncoder& encoder, SquareImages images)
      : encoder_(encoder), images_(std::move(images)) {}

  /// Of a frozen encoder: annotations come from a file of the cache from now on (feature_cache.h), whose name is the SHA-256 of
  /// the encoder's kind, sizes and weights and of all images, in order. Where it cannot be written they are kept in memory
  /// and `notes` says why. The images' pixels are let go. Nothing happens when the encoder is trained.
  void keep(std::vector<std::string>& notes);

  at::Tensor batch(const std::vector<std::int64_t>& places) const;  // [B,L,D]
  std::pair<std::int64_t, std::int64_t> size_of(std::int64_t place) const {
    return images_.size_of(place);
  }

 private:
  const models::ImageEncoder& encoder_;
  SquareImages images_;
  at::Tensor kept_;  // [N,L,D]
};

/// Of all weights, in order, with their names.
std::string sha256_of(const models::NamedTensors& weights);

}  // namespace attend::train
