#include "attend/data/labelled_images.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "attend/base/error.h"
#include "data/catalogue_name.h"
#include "data/gzip.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostIdxValues = std::int64_t{1} << 30;
constexpr std::uint8_t kUnsignedBytes = 8;

/// Up to n bytes more; fewer at the end.
std::vector<std::uint8_t> take_bytes(const ByteSource& source, std::size_t n) {
  constexpr std::size_t kIdxBlock = 1 << 20;
  std::vector<std::uint8_t> out;
  while (out.size() < n) {
    const std::size_t have = out.size(), wanted = std::min(kIdxBlock, n - have);
    out.resize(have + wanted);
    const std::size_t got = source(reinterpret_cast<char*>(out.data() + have), wanted);
    out.resize(have + got);
    if (got == 0) break;
  }
  return out;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out;
  for (const std::int64_t n : shape) out += (out.empty() ? "" : " × ") + std::to_string(n);
  return out;
}

IdxArray read_idx_source(const ByteSource& source, const std::string& name) {
  const std::vector<std::uint8_t> magic = take_bytes(source, 4);
  if (magic.size() < 4 || magic[0] != 0 || magic[1] != 0)
    fail_input(name + ": not an IDX file: expected its header to begin with 0, 0");
  if (magic[2] != kUnsignedBytes || magic[3] < 1 || magic[3] > 4)
    fail_input(name + ": an IDX file of type " + std::to_string(magic[2]) + " and " +
               std::to_string(magic[3]) + " axes; unsigned bytes (type 8) of 1…4 axes are read");
  IdxArray out;
  const std::vector<std::uint8_t> lengths = take_bytes(source, 4 * std::size_t{magic[3]});
  if (lengths.size() < 4 * std::size_t{magic[3]}) fail_input(name + ": cut short in its header");
  std::int64_t values = 1;
  for (std::size_t i = 0; i < lengths.size(); i += 4) {
    std::int64_t length = 0;
    for (std::size_t k = 0; k < 4; ++k) length = length << 8 | lengths[i + k];
    out.shape.push_back(length);
    if (values * length > kMostIdxValues)  // below 2^30 · 2^32
      fail_input(name + ": its header promises " + shape_text(out.shape) +
                 "… values; at most 2^30 are read");
    values *= length;
  }
  out.bytes = take_bytes(source, static_cast<std::size_t>(values));
  if (static_cast<std::int64_t>(out.bytes.size()) < values)
    fail_input(name + ": cut short: " + shape_text(out.shape) + " values promised, " +
               std::to_string(out.bytes.size()) + " there; fetch it again");
  if (!take_bytes(source, 1).empty())
    fail_input(name + ": goes on behind the " + shape_text(out.shape) +
               " values that its header promises; fetch it again");
  return out;
}

std::optional<std::string> find_idx(const std::string& folder, const std::string& name) {
  std::error_code error;
  for (const std::string& path : {folder + "/" + name, folder + "/" + name + ".gz"})
    if (fs::is_regular_file(path, error)) return path;
  return std::nullopt;
}

std::string idx_path(const std::string& folder, const std::string& name) {
  if (const auto path = find_idx(folder, name)) return *path;
  fail_io(folder + ": no " + name + " or " + name + ".gz in this folder");
}

/// Where the objects of a part are, if its folder says so.
void load_boxes(LabelledImages& part, const std::string& path) {
  IdxArray boxes = read_idx(path);
  const std::vector<std::int64_t> expected = {part.count, part.objects, 4};
  if (boxes.shape != expected)
    fail_input(path + ": " + shape_text(boxes.shape) + " values; expected " + shape_text(expected) +
               ": left, top, width and height of every object");
  part.boxes = std::move(boxes.bytes);
  for (std::size_t i = 0; i < part.boxes.size(); i += 4) {
    const std::uint8_t* box = part.boxes.data() + i;
    if (box[0] + box[2] > part.width || box[1] + box[3] > part.height)
      fail_input(path + ": box " + std::to_string(i / 4 + 1) + " reaches beyond its image of " +
                 shape_text({part.height, part.width}) + " pixels");
  }
}

LabelledImages load_idx_part(const std::string& folder, const std::string& part) {
  const std::string images_path = idx_path(folder, part + "-images-idx3-ubyte");
  const auto several =
      find_idx(folder, part + "-labels-idx2-ubyte");  // of several objects an image
  const std::string labels_path =
      several ? *several : idx_path(folder, part + "-labels-idx1-ubyte");
  IdxArray images = read_idx(images_path), labels = read_idx(labels_path);
  if (images.shape.size() != 3 || images.bytes.empty())
    fail_input(images_path + ": " + shape_text(images.shape) +
               " values; expected images × height × width");
  if (labels.shape.size() != (several ? 2 : 1) || labels.shape[0] != images.shape[0] ||
      labels.bytes.empty())
    fail_input(labels_path + ": " + shape_text(labels.shape) + " labels for " +
               std::to_string(images.shape[0]) + " images in " + images_path);
  LabelledImages out;
  out.name = folder + (part == "train" ? " train" : " test");
  out.count = images.shape[0];
  out.height = images.shape[1];
  out.width = images.shape[2];
  out.objects = several ? labels.shape[1] : 1;
  out.pixels = std::move(images.bytes);
  out.labels = std::move(labels.bytes);
  if (const auto path = find_idx(folder, part + "-boxes-idx3-ubyte")) load_boxes(out, *path);
  return out;
}

ImageCorpus load_idx_folder(const std::string& folder) {
  ImageCorpus out{load_idx_part(folder, "train"), load_idx_part(folder, "t10k")};
  if (out.train.height != out.test.height || out.train.width != out.test.width)
    fail_input(folder + ": training images of " + shape_text({out.train.height, out.train.width}) +
               " pixels and test images of " + shape_text({out.test.height, out.test.width}));
  std::uint8_t most = 0;
  for (const LabelledImages* part : {&out.train, &out.test})
    most = std::max(most, *std::max_element(part->labels.begin(), part->labels.end()));
  for (int i = 0; i <= most; ++i)
    for (LabelledImages* part : {&out.train, &out.test})
      part->label_names.push_back(std::to_string(i));
  return out;
}

/// cluttered-mnist, or the same of another set: `cluttered-mnist:fashion-mnist`.
ImageCorpus load_cluttered(const CatalogueSet& set, const std::string& asked,
                           const MakeOptions& make) {
  const std::vector<std::string> parts = take_apart(asked).parts;
  const std::string source = parts.empty() ? set.made_from : parts[0];
  if (!parts.empty() && (parts.size() > 1 || source != "fashion-mnist")) fail_variant(set, asked);
  ImageCorpus out = make_cluttered(load_labelled_images(source), make);
  out.train.name = asked + " train";
  out.test.name = asked + " test";
  return out;
}

}  // namespace

IdxArray read_idx(const std::string& path) {
  return read_idx_source(bytes_of_any_file(path), path);
}

IdxArray read_idx_bytes(std::string_view bytes, const std::string& name) {
  return read_idx_source(bytes_of(bytes), name);
}

std::string idx_bytes(const IdxArray& array) {
  std::string out{'\0', '\0', static_cast<char>(kUnsignedBytes),
                  static_cast<char>(array.shape.size())};
  for (const std::int64_t length : array.shape)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift);
  return out.append(array.bytes.begin(), array.bytes.end());
}

ImageCorpus load_labelled_images(const std::string& path_or_name, const MakeOptions& make) {
  const CatalogueSet* set = find_set(path_or_name);
  std::error_code error;
  if (set == nullptr && fs::is_directory(path_or_name, error)) return load_idx_folder(path_or_name);
  if (set == nullptr) fail_unknown_set(path_or_name);
  require_task(*set, "generation");
  if (set->generated) return load_cluttered(*set, path_or_name, make);
  if (path_or_name != set->name) fail_variant(*set, path_or_name);
  const auto folder = find_folder(*set);
  if (!folder) fail_not_here(*set, path_or_name);
  ImageCorpus out = load_idx_folder(*folder);
  out.train.name = set->name + " train";
  out.test.name = set->name + " test";
  if (out.train.label_names.size() != 10)
    fail_input(*folder + ": a label of " + out.train.label_names.back() + "; " + set->name +
               " has 0…9");
  if (set->name == "fashion-mnist")
    for (LabelledImages* part : {&out.train, &out.test})
      part->label_names = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                           "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
  return out;
}

PartNotes describe_images_of(const CatalogueSet& set) {
  const ImageCorpus corpus = load_labelled_images(set.name);
  PartNotes out;
  for (const LabelledImages* part : {&corpus.train, &corpus.test})
    out.emplace_back(part->name, std::to_string(part->count) + " images of " +
                                     shape_text({part->height, part->width}) + " pixels, " +
                                     std::to_string(part->label_names.size()) + " classes");
  return out;
}

}  // namespace attend::data
