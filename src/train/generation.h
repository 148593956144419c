#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/models/draw.h"
#include "attend/train/generation.h"
#include "attend/train/recipe.h"
#include "train/task.h"

namespace attend::train {

std::unique_ptr<Task> make_generation(const Recipe& recipe);

/// config.json of a run, and back; `name` is the file in messages, and every field is checked.
std::string to_config_json(const models::DrawConfig& config);
models::DrawConfig draw_from_config_json(const std::string& text, const std::string& name);

/// The images of a recipe's data, parted as [data] says.
struct ImageParts {
  std::array<at::Tensor, 3>
      parts;  // by Part: uint8 [N,C,height,width]; all of one height, width and C, N may be 0
  std::array<at::Tensor, 3>
      boxes;  // by Part: uint8 [N,objects,4] (left, top, width, height), where
              // the objects are; undefined when not known
  std::vector<std::string> notes;

  const at::Tensor& of(Part part) const { return parts[static_cast<std::size_t>(part)]; }
};
/// Catalogue sets and folders of IDX files bring their own test images; validation is the last share of the training images.
/// Any other folder, with those in it: every PNG and JPEG by name, in an order shuffled by data.split_seed, of which the last
/// shares are validation and test. Throws kUsage, kBadInput, kIo.
ImageParts load_image_parts(const Recipe& recipe);

/// A PNG or JPEG as a run's images are: [1,C,height,width] uint8, resized to their size.
at::Tensor read_image_like(const models::DrawConfig& config, const std::string& path);

/// Which draws a binarisation takes: a row's number is added to it.
std::uint64_t binarise_stream(Part part, std::int64_t epoch);
/// images[rows] as the model reads them: float in [0,1], binarised as the recipe says. Row r takes stream `first` + r.
at::Tensor pixels_of(const at::Tensor& images, const std::vector<std::int64_t>& rows,
                     Binarise binarise, std::uint64_t seed, std::uint64_t first);

/// Sums over rows of the bound of a part, with one sample of the latents an image, fixed by the seed.
struct BoundSums {
  double reconstruction = 0, kl = 0;
  double squares = 0;  // of the bound

  double elbo_sd(std::int64_t rows) const;  // between images
};
BoundSums bound_of(const models::Draw& draw, const at::Tensor& images, const Recipe& recipe,
                   Part part);
Metrics bound_metrics(const BoundSums& sums, std::int64_t rows);

}  // namespace attend::train
