#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/data/codec.h"
#include "attend/data/parallel.h"
#include "attend/models/translator.h"
#include "attend/train/recipe.h"
#include "attend/train/translation.h"
#include "train/task.h"

namespace attend::train {

std::unique_ptr<Task> make_translation(const Recipe& recipe);

/// config.json of a run, and back; `name` is the file in messages, and every field is checked.
std::string to_config_json(const models::TranslatorConfig& config);
models::TranslatorConfig translator_from_config_json(const std::string& text,
                                                     const std::string& name);

/// A pair as ids, without begin and end.
struct PairIds {
  std::vector<std::int64_t> source, target;
};

/// The parts of a recipe's data; a part that the data lack is cut off the training pairs as [data] says.
data::ParallelCorpus load_pairs_of(const Recipe& recipe);

struct Codecs {
  data::TextCodec source, target;
};
/// Learnt from the training pairs.
Codecs train_codecs(const Recipe::Data& options, const data::ParallelSet& train);

/// Ids of every pair, in order. With `limit` > 0 longer sides are cut there; `cut` counts such pairs.
std::vector<PairIds> encode_pairs(const data::ParallelSet& set, const Codecs& codecs,
                                  std::int64_t limit, std::int64_t& cut);

/// A padded batch of pairs[rows].
models::TranslationBatch make_batch(const std::vector<PairIds>& pairs,
                                    const std::vector<std::int64_t>& rows);

/// Places of the pairs, those of like length next to each other.
std::vector<std::int64_t> by_length(const std::vector<PairIds>& pairs);

/// Mean over target tokens of −log p in nats.
double mean_loss(models::Translator& translator, const std::vector<PairIds>& pairs);

}  // namespace attend::train
