#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "attend/base/error.h"
#include "train/cut_off.h"
#include "train/translation.h"

namespace attend::train {
namespace {

constexpr std::size_t kEvaluationPairs = 64;  // of like length, so little of a batch is padding

data::ParallelSet cut_off_pairs(data::ParallelSet& from, double share, std::uint64_t seed,
                                std::uint64_t index) {
  data::ParallelSet out;
  out.name = from.name;
  out.pairs = cut_off(from.pairs, share, seed, index);
  return out;
}

}  // namespace

data::ParallelCorpus load_pairs_of(const Recipe& recipe) {
  data::ParallelOptions options;
  options.source = recipe.data.source, options.target = recipe.data.target;
  data::ParallelCorpus corpus = data::load_parallel(recipe.data.name, options);
  const auto seed = static_cast<std::uint64_t>(recipe.data.split_seed);
  if (corpus.test.pairs.empty() && recipe.data.test > 0)
    corpus.test = cut_off_pairs(corpus.train, recipe.data.test, seed, 1);
  if (corpus.validation.pairs.empty() && recipe.data.validation > 0)
    corpus.validation = cut_off_pairs(corpus.train, recipe.data.validation, seed, 2);
  if (corpus.train.pairs.empty()) fail_input(recipe.data.name + ": no pairs are left for training");
  return corpus;
}

Codecs train_codecs(const Recipe::Data& options, const data::ParallelSet& train) {
  const data::CodecOptions how = codec_options(options);
  std::vector<std::string> source, target;
  for (const data::SentencePair& pair : train.pairs) {
    source.push_back(pair.source);
    (options.share_vocabulary ? source : target).push_back(pair.target);
  }
  const data::TextCodec first = data::train_codec(source, how);
  return {first, options.share_vocabulary ? first : data::train_codec(target, how)};
}

std::vector<PairIds> encode_pairs(const data::ParallelSet& set, const Codecs& codecs,
                                  std::int64_t limit, std::int64_t& cut) {
  std::vector<PairIds> out;
  for (const data::SentencePair& pair : set.pairs) {
    PairIds ids{codecs.source.encode(pair.source), codecs.target.encode(pair.target)};
    bool long_one = false;
    for (std::vector<std::int64_t>* side : {&ids.source, &ids.target}) {
      if (limit <= 0 || static_cast<std::int64_t>(side->size()) <= limit) continue;
      side->resize(static_cast<std::size_t>(limit));
      long_one = true;
    }
    cut += long_one;
    out.push_back(std::move(ids));
  }
  return out;
}

models::TranslationBatch make_batch(const std::vector<PairIds>& pairs,
                                    const std::vector<std::int64_t>& rows) {
  const auto n = static_cast<std::int64_t>(rows.size());
  std::size_t longest_source = 1, longest_target = 0;
  for (const std::int64_t r : rows) {
    const PairIds& pair = pairs[static_cast<std::size_t>(r)];
    longest_source = std::max(longest_source, pair.source.size());
    longest_target = std::max(longest_target, pair.target.size());
  }
  models::TranslationBatch batch;
  const auto source_width = static_cast<std::int64_t>(longest_source),
             target_width = static_cast<std::int64_t>(longest_target) + 2;
  batch.source = at::zeros({n, source_width}, at::kLong),
  batch.target = at::zeros({n, target_width}, at::kLong);
  batch.source_lengths = at::zeros({n}, at::kLong),
  batch.target_lengths = at::zeros({n}, at::kLong);
  std::int64_t* source = batch.source.mutable_data_ptr<std::int64_t>();
  std::int64_t* target = batch.target.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < n; ++i, source += source_width, target += target_width) {
    const PairIds& pair = pairs[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])];
    std::copy(pair.source.begin(), pair.source.end(), source);
    target[0] = models::kBegin;
    *std::copy(pair.target.begin(), pair.target.end(), target + 1) = models::kEnd;
    batch.source_lengths.mutable_data_ptr<std::int64_t>()[i] =
        static_cast<std::int64_t>(pair.source.size());
    batch.target_lengths.mutable_data_ptr<std::int64_t>()[i] =
        static_cast<std::int64_t>(pair.target.size()) + 2;
  }
  return batch;
}

std::vector<std::int64_t> by_length(const std::vector<PairIds>& pairs) {
  std::vector<std::int64_t> places(pairs.size());
  std::iota(places.begin(), places.end(), std::int64_t{0});
  const auto size = [&](std::int64_t i) {
    const PairIds& p = pairs[static_cast<std::size_t>(i)];
    return std::pair(p.source.size(), p.target.size());
  };
  std::stable_sort(places.begin(), places.end(),
                   [&](std::int64_t a, std::int64_t b) { return size(a) < size(b); });
  return places;
}

double mean_loss(models::Translator& translator, const std::vector<PairIds>& pairs) {
  const at::NoGradGuard off;
  const std::vector<std::int64_t> order = by_length(pairs);
  double total = 0;
  std::int64_t tokens = 0;
  for (std::size_t begin = 0; begin < order.size(); begin += kEvaluationPairs) {
    const std::size_t end = std::min(order.size(), begin + kEvaluationPairs);
    const auto batch = make_batch(pairs, {order.begin() + static_cast<std::ptrdiff_t>(begin),
                                          order.begin() + static_cast<std::ptrdiff_t>(end)});
    total += translator.loss(batch, models::Pass{}, 0).words.item<double>();
    tokens += models::target_tokens(batch);
  }
  return tokens > 0 ? total / static_cast<double>(tokens) : 0;
}

}  // namespace attend::train
