// Images of a recipe: catalogue sets, folders of IDX files, folders of PNG and JPEG files.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/image.h"
#include "attend/data/labelled_images.h"
#include "train/generation.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;

/// Streams of chance: training epochs count up from here, a fixed part has one of its own.
constexpr std::uint64_t kBinarise = std::uint64_t{1} << 62, kFixed = std::uint64_t{1} << 61;

bool is_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// Every image beneath a folder by name, and how many entries are none.
std::vector<std::string> image_files(const std::string& folder, std::int64_t& others) {
  std::vector<std::string> out;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) continue;
    if (it->is_regular_file(ignored) && is_image_name(it->path()))
      out.push_back(it->path().string());
    else
      ++others;
  }
  if (error) fail_io(folder + ": cannot be read: " + error.message());
  std::sort(out.begin(), out.end());
  return out;
}

bool is_grey(const data::Image& image) {
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3)
    if (image.pixels[i] != image.pixels[i + 1] || image.pixels[i] != image.pixels[i + 2])
      return false;
  return true;
}

/// [3,height,width] or, as grey, [1,height,width] (luma of ITU-R BT.601, as Pillow's "L").
at::Tensor planes_of(const data::Image& image, bool grey) {
  const at::Tensor out =
      at::empty({grey ? 1 : 3, image.height, image.width}, at::TensorOptions().dtype(at::kByte));
  std::uint8_t* p = out.mutable_data_ptr<std::uint8_t>();
  const std::int64_t n = image.height * image.width;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint8_t* rgb = image.pixels.data() + 3 * i;
    if (grey)
      p[i] = static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >>
                                       16);
    else
      for (int c = 0; c < 3; ++c) p[c * n + i] = rgb[c];
  }
  return out;
}

std::string size_text(const data::Image& image) {
  return std::to_string(image.height) + " x " + std::to_string(image.width);
}

std::vector<data::Image> read_images(const std::vector<std::string>& files, std::int64_t size) {
  std::vector<data::Image> out;
  for (const std::string& file : files) {
    data::Image image = data::read_image(file);
    if (size > 0) image = data::resize(image, size, size);
    if (!out.empty() && (image.height != out[0].height || image.width != out[0].width))
      fail_input(file + ": " + size_text(image) + " pixels, and " + files[0] + " has " +
                 size_text(out[0]) + "; set data.image_size to have every image resized");
    out.push_back(std::move(image));
  }
  return out;
}

ImageParts parts_of_folder(const Recipe& recipe) {
  const std::string& folder = recipe.data.name;
  std::int64_t others = 0;
  const std::vector<std::string> files = image_files(folder, others);
  if (files.empty()) fail_input(folder + ": holds no PNG or JPEG file (.png, .jpg, .jpeg)");
  const std::vector<data::Image> images = read_images(files, recipe.data.image_size);
  const bool grey =
      recipe.data.colour == Colour::kGrey ||
      (recipe.data.colour == Colour::kAuto && std::all_of(images.begin(), images.end(), is_grey));
  std::vector<std::size_t> order(images.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(static_cast<std::uint64_t>(recipe.data.split_seed), Purpose::kSplit);
  for (std::size_t i = order.size() - 1; i > 0; --i)
    std::swap(order[i], order[random.below(i + 1)]);
  const double n = static_cast<double>(images.size());
  const auto share = [&](double part) { return static_cast<std::size_t>(std::lround(n * part)); };
  const std::size_t test = share(recipe.data.test), validation = share(recipe.data.validation);
  if (test + validation >= images.size())
    fail_usage(folder + ": " + std::to_string(images.size()) +
               " images, and none is left to train on; lower data.validation or data.test");
  ImageParts out;
  const auto fill = [&](Part part, std::size_t first, std::size_t count) {
    at::Tensor& into = out.parts[static_cast<std::size_t>(part)];
    into = at::empty(
        {static_cast<std::int64_t>(count), grey ? 1 : 3, images[0].height, images[0].width},
        at::TensorOptions().dtype(at::kByte));
    for (std::size_t i = 0; i < count; ++i)
      into[static_cast<std::int64_t>(i)].copy_(planes_of(images[order[first + i]], grey));
  };
  const std::size_t train = images.size() - test - validation;
  fill(Part::kTrain, 0, train), fill(Part::kValidation, train, validation);
  fill(Part::kTest, train + validation, test);
  if (others > 0)
    out.notes.push_back(std::to_string(others) + " files in " + folder +
                        " are no PNG or JPEG by name, or no regular files, and were left out");
  return out;
}

/// Entries of bytes [N, …], from `first` on, as a tensor of these sizes, the first of which is their number.
at::Tensor tensor_of(const std::vector<std::uint8_t>& bytes, std::int64_t first,
                     const std::vector<std::int64_t>& sizes) {
  const at::Tensor out = at::empty(sizes, at::TensorOptions().dtype(at::kByte));
  const std::int64_t each = out.numel() / std::max<std::int64_t>(sizes[0], 1);
  std::copy_n(bytes.data() + first * each, out.numel(), out.mutable_data_ptr<std::uint8_t>());
  return out;
}

ImageParts parts_of_set(const Recipe& recipe) {
  data::MakeOptions make;
  make.rows = recipe.data.images, make.size = recipe.data.image_size;
  const data::ImageCorpus corpus = data::load_labelled_images(recipe.data.name, make);
  const std::int64_t validation =
      std::lround(static_cast<double>(corpus.train.count) * recipe.data.validation);
  const std::int64_t train = corpus.train.count - validation;
  ImageParts out;
  const auto fill = [&](Part part, const data::LabelledImages& from, std::int64_t first,
                        std::int64_t count) {
    const auto at = static_cast<std::size_t>(part);
    out.parts[at] = tensor_of(from.pixels, first, {count, 1, from.height, from.width});
    if (!from.boxes.empty()) out.boxes[at] = tensor_of(from.boxes, first, {count, from.objects, 4});
  };
  fill(Part::kTrain, corpus.train, 0, train);
  fill(Part::kValidation, corpus.train, train, validation);
  fill(Part::kTest, corpus.test, 0, corpus.test.count);
  return out;
}

bool is_plain_folder(const std::string& name) {
  std::error_code error;
  if (!fs::is_directory(name, error)) return false;
  for (const char* file : {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"})
    if (fs::exists(fs::path(name) / file, error)) return false;
  return true;
}

}  // namespace

ImageParts load_image_parts(const Recipe& recipe) {
  const bool named = data::find_set(recipe.data.name) != nullptr;
  return !named && is_plain_folder(recipe.data.name) ? parts_of_folder(recipe)
                                                     : parts_of_set(recipe);
}

at::Tensor read_image_like(const models::DrawConfig& config, const std::string& path) {
  data::Image image = data::read_image(path);
  if (image.height != config.height || image.width != config.width)
    image = data::resize(image, config.height, config.width);
  return planes_of(image, config.channels == 1).unsqueeze(0);
}

std::uint64_t binarise_stream(Part part, std::int64_t epoch) {
  if (part == Part::kTrain) return kBinarise | static_cast<std::uint64_t>(epoch) << 32;
  return kBinarise | kFixed | static_cast<std::uint64_t>(part) << 32;
}

at::Tensor pixels_of(const at::Tensor& images, const std::vector<std::int64_t>& rows,
                     Binarise binarise, std::uint64_t seed, std::uint64_t first) {
  std::vector<std::int64_t> sizes = images.sizes().vec();
  sizes[0] = static_cast<std::int64_t>(rows.size());
  const at::Tensor out = at::empty(sizes, at::TensorOptions().dtype(at::kFloat));
  const std::int64_t each = images.numel() / std::max<std::int64_t>(images.size(0), 1);
  float* to = out.mutable_data_ptr<float>();
  for (const std::int64_t row : rows) {
    const std::uint8_t* from = images.const_data_ptr<std::uint8_t>() + row * each;
    Random random(seed, Purpose::kGenerate, first + static_cast<std::uint64_t>(row));
    for (std::int64_t i = 0; i < each; ++i) {
      if (binarise == Binarise::kNone)
        to[i] = static_cast<float>(from[i]) / 255;
      else if (binarise == Binarise::kThreshold)
        to[i] = from[i] > 127 ? 1.0f : 0.0f;
      else  // a level from 0 to 254, each as likely as the others, is below the pixel with probability pixel / 255
        to[i] = (std::uint64_t{random.bits()} * 255 >> 32) < from[i] ? 1.0f : 0.0f;
    }
    to += each;
  }
  return out;
}

}  // namespace attend::train
