#include "train/task.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "attend/base/random.h"

namespace attend::train {
namespace {

constexpr std::int64_t kNoLimit = std::int64_t{1} << 40;  // of tokens: train.batch counts rows

data::TextUnit unit_of(Tokens tokens) {
  switch (tokens) {
    case Tokens::kWords:
      return data::TextUnit::kWord;
    case Tokens::kBpe:
      return data::TextUnit::kBpe;
    case Tokens::kCharacters:
      break;
  }
  return data::TextUnit::kCharacter;
}

}  // namespace

at::Tensor epoch_order(std::int64_t rows, const Recipe::Train& options, std::int64_t epoch) {
  at::Tensor order = at::empty({rows}, at::kLong);
  std::int64_t* places = order.mutable_data_ptr<std::int64_t>();
  std::iota(places, places + rows, std::int64_t{0});
  if (!options.shuffle) return order;
  Random random(static_cast<std::uint64_t>(options.seed), Purpose::kShuffle,
                static_cast<std::uint64_t>(epoch));
  for (std::int64_t i = rows - 1; i > 0; --i)  // Fisher–Yates
    std::swap(places[i], places[random.below(static_cast<std::uint64_t>(i + 1))]);
  return order;
}

std::vector<at::Tensor> cut(const at::Tensor& order, std::int64_t size) {
  std::vector<at::Tensor> out;
  for (std::int64_t begin = 0; begin < order.size(0); begin += size)
    out.push_back(order.narrow(0, begin, std::min(size, order.size(0) - begin)));
  return out;
}

std::vector<at::Tensor> batches_by_length(const std::vector<data::PairLength>& lengths,
                                          const Recipe::Train& options, std::int64_t epoch) {
  data::BatchOptions how;
  how.max_rows = step_rows(options), how.max_tokens = kNoLimit;
  how.seed = static_cast<std::uint64_t>(options.seed), how.shuffle = options.shuffle;
  std::vector<at::Tensor> out;
  for (const std::vector<std::size_t>& rows : data::length_batches(lengths, how, epoch))
    out.push_back(at::tensor(std::vector<std::int64_t>(rows.begin(), rows.end()), at::kLong));
  return out;
}

data::CodecOptions codec_options(const Recipe::Data& options) {
  data::CodecOptions how;
  how.unit = unit_of(options.tokens), how.lower = options.lower;
  how.size = options.vocabulary_size, how.min_count = options.min_count;
  return how;
}

}  // namespace attend::train
