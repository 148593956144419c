#include "train/pretrained.h"

#include <filesystem>

#include "attend/base/error.h"
#include "attend/data/catalogue.h"
#include "attend/interop/bert.h"
#include "data/catalogue_name.h"

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

}  // namespace

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
