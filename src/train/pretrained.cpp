#include "train/pretrained.h"

#include <filesystem>

#include "attend/base/error.h"
#include "attend/data/catalogue.h"
#include "attend/interop/bert.h"
#include "data/catalogue_name.h"
#include "train/captioning.h"

namespace attend::train {
namespace {

std::string folder_of(const std::string& name) {
  if (std::filesystem::is_directory(name)) return name;
  const data::CatalogueSet* set = data::find_set(name);
  if (set == nullptr || set->task != "encoder")
    fail_input("model.pretrained = \"" + name +
               "\": no such folder, and none of the encoders that `attend data list` shows");
  const auto folder = data::find_folder(*set);
  if (!folder) data::fail_not_here(*set, name);
  return *folder;
}

/// "imagenet-cnn:mobilenet" → its file.
std::string network_file(const std::string& name) {
  const data::CatalogueName asked = data::take_apart(name);
  if (asked.set == nullptr || asked.set->task != "image-encoder")
    fail_input("model.encoder.pretrained = \"" + name +
               "\": no such folder or file, and no network that `attend data list` shows");
  const std::string part = asked.parts.size() == 1 ? asked.parts.front() : "";
  if (part != "mobilenet" && part != "squeezenet") data::fail_variant(*asked.set, name);
  const auto folder = data::find_folder(*asked.set);
  if (!folder) data::fail_not_here(*asked.set, name);
  return *folder + "/" + asked.set->files[part == "mobilenet" ? 0 : 1].name;
}

}  // namespace

std::optional<interop::ImageNetwork> open_image_network(const Recipe& recipe) {
  const std::string& name = recipe.model.image_encoder;
  if (name.empty()) return std::nullopt;
  return interop::read_image_network(std::filesystem::exists(name) ? name : network_file(name));
}

Pretrained open_pretrained(const Recipe& recipe) {
  const std::string folder = folder_of(recipe.model.pretrained);
  models::BertConfig config = interop::read_bert_config(folder);
  config.dropout = recipe.model.dropout;
  return {folder, config, interop::read_bert_codec(folder, config)};
}

void complete(models::ClassifierConfig& config) {
  config.architecture = models::ClassifierArchitecture::kBert;
  config.vocabulary = config.bert.vocabulary - 1;
  config.embedding_width = config.bert.width;
  config.bert.dropout = config.dropout;
  config.attention = models::Attention::kNone;
  config.mask_padding = true;
}

models::ClassifierConfig bert_classifier_config(const Recipe& recipe, const Pretrained& pretrained,
                                                std::int64_t classes) {
  models::ClassifierConfig out;
  out.max_length = recipe.data.max_length;
  out.classes = classes;
  out.dropout = recipe.model.dropout;
  out.freeze_embedding = recipe.model.freeze_embedding;
  out.pooling = recipe.model.pooling;
  out.bert = pretrained.config;
  out.begin_id = pretrained.codec.bos();
  out.end_id = pretrained.codec.eos();
  complete(out);
  return out;
}

}  // namespace attend::train
