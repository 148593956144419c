#pragma once
#include <attend/models/image_encoder.h>

#include <string>

/// Convolutional networks that were trained elsewhere, for models::ImageEncoder.
namespace attend::interop {

/// The convolutions of a network, without what classifies, by the names of models::ImageEncoder; float32.
struct ImageNetwork {
  models::EncoderNetwork network = models::EncoderNetwork::kMobileNet;
  double multiplier = 1;  // α, of MobileNet
  nn::NamedTensors weights;

  std::string title() const;  // "MobileNet v1, multiplier 0.25"
};

/// Reads, by what the bytes say and not by the name,
///   HDF5           MobileNet v1 as Keras saves it (the whole model or its weights, Keras 2's form, with or without the
///                  classifier). Each batch normalisation is folded into the convolution before it, in float64:
///                  w γ/√(σ² + .001),  β − µ γ/√(σ² + .001)
///   compressed SqueezeNet 1.0   (Han et al. 2016, "Deep Compression")
/// or a folder that save_image_network wrote.
/// Throws kIo for what cannot be read or is no regular file; kBadInput naming file, tensor and rule: a kind of file that is not
/// known (a pickle or TFLite file is refused with what to do instead), damage, a tensor that is missing, left over, of
/// another shape, or not finite, a variance below 0.
ImageNetwork read_image_network(const std::string& path);

/// Writes config.json and model.safetensors into `folder`, which is made; config.json, which makes it whole, comes last. Throws kUsage when
/// the folder holds something, kIo when it cannot be written.
void save_image_network(const ImageNetwork& network, const std::string& folder);

/// Copies what the encoder has of the network. Throws kUsage when they are of different kinds or multipliers.
void load_image_network(models::ImageEncoder& encoder, const ImageNetwork& network);

}  // namespace attend::interop
