#include "attend/data/captions.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/load.h"
#include "data/caption_rows.h"
#include "data/catalogue_name.h"
#include "data/readers.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_regular(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

CaptionTable read_table(const std::string& path, const CaptionOptions& options) {
  std::error_code error;
  if (!is_regular(path))
    fail_io(path + (fs::exists(path, error) ? ": is not a regular file; give a file of captions"
                                            : ": no such file"));
  const std::string name = lower(fs::path(path).filename().string());
  if (name.ends_with(".json")) return read_coco(read_file(path), path);
  LineReader lines(bytes_of_file(path), path, options.max_line_bytes);
  const bool is_flickr = name.ends_with(".token") || name.ends_with(".token.txt") ||
                         (name.starts_with("flickr") && name.ends_with(".txt"));
  if (is_flickr) return read_flickr_tokens(lines);
  if (name.ends_with(".csv") || name.ends_with(".txt")) return read_caption_csv(lines);
  fail_input(path +
             ": unknown kind of captions; name it *.json (COCO's form), *.csv (columns "
             "image and caption) or *.token.txt (Flickr8k's)");
}

std::string folder_of_images(const std::string& path, const CaptionOptions& options) {
  if (!options.images.empty()) {
    if (!is_folder(options.images)) fail_io(options.images + ": no such folder of images");
    return options.images;
  }
  const std::string parent = fs::path(path).parent_path().string();
  const std::string own = parent.empty() ? "." : parent;
  for (const char* name : {"/images", "/Images"})
    if (is_folder(own + name)) return own + name;
  return own;
}

/// Why a caption's image cannot be used; "" when it can.
std::string image_problem(const std::string& folder, const std::string& name) {
  const fs::path path(name);
  if (path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end())
    return "the image " + name + " lies outside the folder of images";
  std::error_code error;
  if (!fs::exists(folder + "/" + name, error)) return "no image " + name + " in " + folder;
  return is_regular(folder + "/" + name) ? "" : "the image " + name + " is no regular file";
}

/// Notes files named like images that no caption names, in order of name.
void look_for_others(CaptionSet& set, const std::string& folder,
                     const std::unordered_map<std::string, std::size_t>& places) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string ending = lower(entry.path().extension().string());
    if (ending != ".jpg" && ending != ".jpeg" && ending != ".png") continue;
    if (!is_regular(entry.path().string()))
      set.not_files.push_back(name);
    else if (!places.contains(name))
      set.without_captions.push_back(name);
  }
  if (error) fail_io(folder + ": cannot list: " + error.message());
  std::sort(set.not_files.begin(), set.not_files.end());
  std::sort(set.without_captions.begin(), set.without_captions.end());
}

/// Puts the captions of one image together.
CaptionSet by_image(CaptionTable table, const std::string& folder) {
  CaptionSet out;
  out.name = table.name;
  out.bad_lines = std::move(table.bad_lines);
  std::unordered_map<std::string, std::size_t> places;
  std::unordered_map<std::string, std::string> problems;
  for (CaptionRow& row : table.rows) {
    if (!problems.contains(row.image)) problems[row.image] = image_problem(folder, row.image);
    if (const std::string& problem = problems[row.image]; !problem.empty()) {
      out.bad_lines.push_back({table.name, row.line, problem});
      continue;
    }
    const auto [place, is_new] = places.emplace(row.image, out.images.size());
    const std::string path = folder + "/" + row.image;
    if (is_new) out.images.push_back({row.image, [path] { return read_image(path); }, {}});
    out.images[place->second].captions.push_back(std::move(row.caption));
  }
  std::stable_sort(out.bad_lines.begin(), out.bad_lines.end(),
                   [](const BadLine& a, const BadLine& b) { return a.line < b.line; });
  if (out.images.empty()) {
    const std::string told = describe_bad_lines(out);
    fail_input(table.name + ": no caption of an image in " + folder +
               (told.empty() ? "" : ": " + told));
  }
  look_for_others(out, folder, places);
  return out;
}

CaptionSet load_one_folder(const std::string& folder, const CaptionOptions& options) {
  for (const char* name : {"captions.json", "captions.csv", "captions.txt", "captions.token.txt",
                           "Flickr8k.token.txt"})
    if (std::error_code error; fs::exists(folder + "/" + name, error))
      return load_caption_file(folder + "/" + name, options);
  fail_input(folder +
             ": no captions.json (COCO's form), captions.csv (columns image and caption) "
             "or Flickr8k.token.txt in this folder");
}

CaptionCorpus load_captions_folder(const std::string& folder, const CaptionOptions& options) {
  CaptionCorpus out;
  if (!is_folder(folder + "/train")) {
    out.train = load_one_folder(folder, options);
    return out;
  }
  out.train = load_one_folder(folder + "/train", options);
  for (const char* name : {"/validation", "/val", "/dev"})
    if (out.validation.images.empty() && is_folder(folder + name))
      out.validation = load_one_folder(folder + name, options);
  if (is_folder(folder + "/test")) out.test = load_one_folder(folder + "/test", options);
  return out;
}

/// COCO's own layout: annotations/captions_PART.json beside the folder PART.
CaptionSet load_coco_part(const std::string& folder, const std::string& part,
                          CaptionOptions options) {
  options.images = folder + "/" + part;
  return load_caption_file(folder + "/annotations/captions_" + part + ".json", options);
}

CaptionCorpus load_captions_set(const std::string& asked, const CaptionOptions& options) {
  const CatalogueName name = require_set(asked);
  const CatalogueSet& set = *name.set;
  require_task(set, "captioning");
  if (!name.parts.empty()) fail_variant(set, asked);
  if (set.generated) return make_shapes(options.make);
  const auto folder = find_folder(set);
  if (!folder) fail_not_here(set, asked);
  CaptionCorpus out;
  out.train = load_coco_part(*folder, "train2017", options);
  out.validation = load_coco_part(*folder, "val2017", options);
  out.train.name = asked + " train";
  out.validation.name = asked + " validation";
  return out;
}

std::string some_of(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 3; ++i) out += (i == 0 ? "" : ", ") + names[i];
  return names.size() > 3 ? out + ", …" : out;
}

}  // namespace

CaptionSet load_caption_file(const std::string& path, const CaptionOptions& options) {
  CaptionTable table = read_table(path, options);
  return by_image(std::move(table), folder_of_images(path, options));
}

CaptionCorpus load_captions(const std::string& path_or_name, const CaptionOptions& options) {
  if (find_set(path_or_name) != nullptr) return load_captions_set(path_or_name, options);
  if (is_folder(path_or_name)) return load_captions_folder(path_or_name, options);
  std::error_code error;
  if (!fs::exists(path_or_name, error)) fail_unknown_set(path_or_name);
  CaptionCorpus out;
  out.train = load_caption_file(path_or_name, options);
  return out;
}

std::string describe_captions(const CaptionSet& set) {
  std::int64_t captions = 0, words = 0;
  for (const CaptionedImage& image : set.images)
    for (const Caption& caption : image.captions) {
      ++captions;
      words += count_words(caption.text);
    }
  std::string out = std::to_string(set.images.size()) + " images, " + std::to_string(captions) +
                    " captions, " + std::to_string(words) + " words";
  if (!set.without_captions.empty())
    out += "; " + std::to_string(set.without_captions.size()) +
           " images without captions left out (" + some_of(set.without_captions) + ")";
  if (!set.not_files.empty())
    out += "; " + std::to_string(set.not_files.size()) +
           " named like images but no regular files (" + some_of(set.not_files) + ")";
  return out;
}

std::string describe_bad_lines(const CaptionSet& set, std::size_t most) {
  Dataset lines;
  lines.bad_lines = set.bad_lines;
  return describe_bad_lines(lines, most);
}

PartNotes describe_captions_of(const CatalogueSet& set) {
  const CaptionCorpus corpus = load_captions(set.name);
  PartNotes out;
  for (const CaptionSet* part : {&corpus.train, &corpus.validation, &corpus.test})
    if (!part->images.empty()) out.emplace_back(part->name, describe_captions(*part));
  return out;
}

}  // namespace attend::data
