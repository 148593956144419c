#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/threads.h"
#include "train/captioning.h"
#include "train/cut_off.h"

namespace attend::train {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;  // of images in memory
constexpr std::size_t kNamed = 5;                           // bad images named in a note

data::CaptionSet cut_off_images(data::CaptionSet& from, double share, std::uint64_t seed,
                                std::uint64_t index) {
  data::CaptionSet out;
  out.name = from.name;
  out.images = cut_off(from.images, share, seed, index);
  return out;
}

std::string note_of(const std::vector<std::string>& problems, std::size_t images) {
  std::string out = std::to_string(problems.size()) + " of " + std::to_string(images) +
                    " images could not be read and were left out: ";
  for (std::size_t i = 0; i < problems.size() && i < kNamed; ++i)
    out += (i > 0 ? "; " : "") + problems[i];
  return problems.size() > kNamed ? out + "; …" : out;
}

}  // namespace

data::CaptionCorpus load_captions_of(const Recipe& recipe) {
  data::CaptionOptions options;
  options.make.rows = recipe.data.images, options.make.size = recipe.data.caption_image_size;
  data::CaptionCorpus corpus = data::load_captions(recipe.data.name, options);
  const auto seed = static_cast<std::uint64_t>(recipe.data.split_seed);
  if (corpus.test.images.empty() && recipe.data.test > 0)
    corpus.test = cut_off_images(corpus.train, recipe.data.test, seed, 1);
  if (corpus.validation.images.empty() && recipe.data.validation > 0)
    corpus.validation = cut_off_images(corpus.train, recipe.data.validation, seed, 2);
  if (corpus.train.images.empty())
    fail_input(recipe.data.name + ": no images are left for training");
  return corpus;
}

at::Tensor square_image(const data::Image& image, std::int64_t size) {
  const data::Image square = data::resize(image, size, size);
  at::Tensor out = at::empty({size, size, 3}, at::kByte);
  std::memcpy(out.mutable_data_ptr(), square.pixels.data(), square.pixels.size());
  return out;
}

SquareImages::SquareImages(data::CaptionSet& set, std::int64_t size,
                           std::vector<std::string>& notes)
    : size_(size), count_(static_cast<std::int64_t>(set.images.size())) {
  const std::size_t n = set.images.size();
  if (static_cast<std::int64_t>(n) > kMostBytes / (size * size * 3)) {
    for (const data::CaptionedImage& image : set.images) read_.push_back(image.read);
    return;
  }
  std::vector<at::Tensor> squares(n);
  std::vector<std::pair<std::int64_t, std::int64_t>> sizes(n);
  std::vector<std::string> problem(n);
  parallel_run(static_cast<int>(n), [&](int i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      const data::Image image = set.images[at].read();
      sizes[at] = {image.width, image.height};
      squares[at] = square_image(image, size);
    } catch (const Error& e) {
      problem[at] = e.what();
    }
  });
  std::vector<data::CaptionedImage> kept;
  std::vector<at::Tensor> pixels;
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < n; ++i) {
    if (!problem[i].empty()) {
      problems.push_back(problem[i]);
      continue;
    }
    kept.push_back(std::move(set.images[i]));
    pixels.push_back(squares[i]), sizes_.push_back(sizes[i]);
  }
  set.images = std::move(kept);
  if (!problems.empty()) notes.push_back(note_of(problems, n));
  if (n > 0 && pixels.empty())
    fail_input(set.name + ": no image could be read: " + problems.front());
  count_ = static_cast<std::int64_t>(pixels.size());
  if (n == 0) return;
  pixels_ = at::stack(pixels);
  pixels_sha256_ =
      attend::sha256({static_cast<const char*>(pixels_.const_data_ptr()), pixels_.nbytes()});
}

at::Tensor SquareImages::batch(const std::vector<std::int64_t>& places) const {
  if (pixels_.defined()) return pixels_.index_select(0, at::tensor(places, at::kLong));
  std::vector<at::Tensor> out(places.size());
  parallel_run(static_cast<int>(places.size()), [&](int i) {
    const auto at = static_cast<std::size_t>(i);
    out[at] = square_image(read_[static_cast<std::size_t>(places[at])](), size_);
  });
  return at::stack(out);
}

std::pair<std::int64_t, std::int64_t> SquareImages::size_of(std::int64_t place) const {
  const auto at = static_cast<std::size_t>(place);
  if (!sizes_.empty()) return sizes_[at];
  const data::Image image = read_[at]();
  return {image.width, image.height};
}

std::string SquareImages::sha256() const { return pixels_sha256_; }

std::string SquareImages::sha256_of_all() const {
  if (!pixels_sha256_.empty()) return pixels_sha256_;
  constexpr std::int64_t kRows = 64;
  std::string sums;
  for (std::int64_t begin = 0; begin < count_; begin += kRows) {
    std::vector<std::int64_t> places;
    for (std::int64_t i = begin; i < std::min(count_, begin + kRows); ++i) places.push_back(i);
    const at::Tensor some = batch(places);
    sums += attend::sha256({static_cast<const char*>(some.const_data_ptr()), some.nbytes()});
  }
  return attend::sha256(sums);
}

void SquareImages::let_pixels_go() { pixels_.reset(); }

std::vector<CaptionRow> encode_captions(const data::CaptionSet& set, const data::TextCodec& codec,
                                        std::int64_t limit, std::int64_t& cut) {
  std::vector<CaptionRow> out;
  for (std::size_t i = 0; i < set.images.size(); ++i)
    for (std::size_t k = 0; k < set.images[i].captions.size(); ++k) {
      CaptionRow row{static_cast<std::int64_t>(i), k, codec.encode(set.images[i].captions[k].text)};
      if (limit > 0 && static_cast<std::int64_t>(row.ids.size()) > limit) {
        row.ids.resize(static_cast<std::size_t>(limit));
        ++cut;
      }
      out.push_back(std::move(row));
    }
  return out;
}

at::Tensor caption_tokens(const std::vector<CaptionRow>& rows,
                          const std::vector<std::int64_t>& places) {
  std::size_t longest = 0;
  for (const std::int64_t p : places)
    longest = std::max(longest, rows[static_cast<std::size_t>(p)].ids.size());
  const auto width = static_cast<std::int64_t>(longest) + 2;
  at::Tensor out = at::zeros({static_cast<std::int64_t>(places.size()), width}, at::kLong);
  std::int64_t* token = out.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t p : places) {
    const std::vector<std::int64_t>& ids = rows[static_cast<std::size_t>(p)].ids;
    token[0] = models::kBegin;
    *std::copy(ids.begin(), ids.end(), token + 1) = models::kEnd;
    token += width;
  }
  return out;
}

}  // namespace attend::train
