#include <filesystem>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/labelled_images.h"
#include "attend/data/parallel.h"
#include "data/caption_rows.h"
#include "data/catalogue_name.h"

namespace attend::data {
namespace {

void make_folders(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_io(folder + ": cannot make this folder: " + error.message());
}

std::vector<std::string> write_reviews(const Dataset& set, const std::string& folder) {
  make_folders(folder);
  std::string table = "text\tlabel\n";
  std::string truth;
  for (const Example& example : set.examples) {
    const std::string& label = set.label_names[static_cast<std::size_t>(example.label)];
    table += example.text + "\t" + label + "\n";
    std::vector<int> marks(example.truth.begin(), example.truth.end());
    nlohmann::ordered_json row;
    row["text"] = example.text;
    row["label"] = label;
    row["truth"] = marks;
    truth += row.dump() + "\n";
  }
  const std::string stem = folder + "/" + set.name;
  write_file_atomically(stem + ".tsv", table);
  write_file_atomically(stem + ".truth.jsonl", truth);
  return {stem + ".tsv", stem + ".truth.jsonl"};
}

std::vector<std::string> write_pairs(const ParallelCorpus& corpus, const std::string& folder) {
  make_folders(folder);
  std::vector<std::string> paths;
  for (const auto& [set, part] :
       {std::pair{&corpus.train, "train"}, std::pair{&corpus.validation, "validation"},
        std::pair{&corpus.test, "test"}}) {
    std::string table = "source\ttarget\talignment\n";
    for (const SentencePair& pair : set->pairs)
      table += pair.source + "\t" + pair.target + "\t" + to_pharaoh(pair.alignment) + "\n";
    paths.push_back(folder + "/" + part + ".tsv");
    write_file_atomically(paths.back(), table);
  }
  return paths;
}

std::vector<std::string> write_captions(const CaptionCorpus& corpus, const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& [set, part] :
       {std::pair{&corpus.train, "train"}, std::pair{&corpus.validation, "validation"},
        std::pair{&corpus.test, "test"}}) {
    const std::string here = folder + "/" + part;
    make_folders(here);
    std::vector<std::pair<std::int64_t, std::int64_t>> sizes;
    for (const CaptionedImage& image : set->images) {
      const Image pixels = image.read();
      sizes.emplace_back(pixels.height, pixels.width);
      write_file_atomically(here + "/" + image.name, encode_png(pixels));
    }
    // Last, so that a folder with captions is whole.
    paths.push_back(here + "/captions.json");
    write_file_atomically(paths.back(), coco_json(*set, sizes));
  }
  return paths;
}

std::vector<std::string> write_images(const ImageCorpus& corpus, const std::string& folder) {
  make_folders(folder);
  std::vector<std::string> paths;
  const auto write = [&](const std::string& name, const IdxArray& array) {
    paths.push_back(folder + "/" + name);
    write_file_atomically(paths.back(), idx_bytes(array));
  };
  for (const auto& [part, title] : {std::pair{&corpus.train, std::string("train")},
                                    std::pair{&corpus.test, std::string("t10k")}}) {
    write(title + "-boxes-idx3-ubyte", {{part->count, part->objects, 4}, part->boxes});
    write(title + "-labels-idx2-ubyte", {{part->count, part->objects}, part->labels});
    // Last, so that a folder with images is whole.
    write(title + "-images-idx3-ubyte", {{part->count, part->height, part->width}, part->pixels});
  }
  return paths;
}

std::string generated_names() {
  std::string out;
  for (const CatalogueSet& set : catalogue())
    if (set.generated) out += (out.empty() ? "" : ", ") + set.name;
  return out;
}

}  // namespace

std::vector<std::string> make_set(const std::string& name, const std::string& folder,
                                  const MakeOptions& options) {
  const CatalogueSet& set = *require_set(name).set;
  if (!set.generated)
    fail_usage("data make: '" + name + "' is not a generated set; there is " + generated_names() +
               " (`attend data get " + set.name + "` fetches)");
  if (set.task == "translation")
    return write_pairs(make_pairs(name, options), folder + "/" + set.name);
  if (set.task == "generation")
    return write_images(load_labelled_images(name, options), folder + "/" + set.name);
  if (name != set.name) fail_variant(set, name);
  if (set.task == "captioning") return write_captions(make_shapes(options), folder + "/" + name);
  return write_reviews(make_synthetic_reviews(options), folder);
}

}  // namespace attend::data
