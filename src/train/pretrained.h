#pragma once
#include <string>

#include "attend/data/codec.h"
#include "attend/models/classifier.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// The encoder that a recipe's model.pretrained names, but for its weights.
struct Pretrained {
  std::string folder;
  models::BertConfig config;  // with the recipe's dropout
  data::TextCodec codec;
};

/// A folder, or a name of the catalogue. Throws kBadInput when it is neither or its files make no sense, kIo when a set of
/// the catalogue is not on this machine (with the command that gets it).
Pretrained open_pretrained(const Recipe& recipe);

/// The classifier that the recipe means around that encoder.
models::ClassifierConfig bert_classifier_config(const Recipe& recipe, const Pretrained& pretrained,
                                                std::int64_t classes);

/// Fills what a kBert's other fields follow from: vocabulary, embedding_width and the like.
void complete(models::ClassifierConfig& config);

}  // namespace attend::train
