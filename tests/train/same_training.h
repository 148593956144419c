#pragma once
// Trainings that must be the same to rounding, however a step is done: by ranks, or in parts.
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "attend/base/random.h"
#include "attend/interop/safetensors.h"
#include "train/small.h"

namespace attend::train {

/// What a training leaves.
struct Trained {
  TrainResult result;
  std::vector<EpochRecord> history;
  models::NamedTensors weights;
};

inline models::NamedTensors weights_in(const std::string& run) {
  return interop::read_safetensors(run + "/model.safetensors").tensors;
}

/// As one rank of several, or alone; weights are left to the caller.
inline void train_into(Trained& trained, const Recipe& recipe, const std::string& out,
                       Ranks* ranks) {
  TrainOptions options;
  options.recipe = recipe;
  options.out = out;
  options.threads = 1;
  options.ranks = ranks;
  options.on_epoch = [&](const EpochRecord& epoch) {  // which rank 0 alone calls: no lock
    trained.history.push_back(epoch);
  };
  const TrainResult result = train(options);
  if (ranks == nullptr || ranks->first()) trained.result = result;
}

/// Steps of plain SGD are as large as the gradients (Adam divides by them, so that rounding of a gradient near 0 shows in full).
inline Recipe plain_steps(Recipe recipe) {
  recipe.model.dropout = recipe.model.recurrent_dropout = 0;
  recipe.optim.kind = OptimizerKind::kSgd;
  recipe.optim.momentum = 0.9;
  recipe.optim.lr = 0.05;
  return recipe;
}

inline double distance(const models::NamedTensors& a, const models::NamedTensors& b) {
  double squares = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b.at(i).first);
    const at::Tensor x = a[i].second.to(at::kDouble), y = b.at(i).second.to(at::kDouble);
    squares += (x - y).square().sum().item<double>(), norm += y.square().sum().item<double>();
  }
  return std::sqrt(squares / norm);
}

inline void expect_near(const Metrics& ours, const Metrics& wanted, const std::string& where) {
  ASSERT_EQ(ours.size(), wanted.size());
  for (const auto& [name, value] : wanted)
    EXPECT_NEAR(ours.at(name), value, 2e-6 * std::abs(value)) << name << " after " << where;
}

inline void expect_same(const Trained& ours, const Trained& wanted, const std::string& name) {
  ASSERT_EQ(ours.history.size(), wanted.history.size());
  for (std::size_t e = 0; e < wanted.history.size(); ++e) {
    const std::string where = "epoch " + std::to_string(e + 1) + " of " + name;
    expect_near(ours.history[e].train, wanted.history[e].train, where + " training");
    expect_near(ours.history[e].validation, wanted.history[e].validation, where);
    EXPECT_EQ(ours.history[e].lr, wanted.history[e].lr) << where;
  }
  EXPECT_LT(distance(ours.weights, wanted.weights), 2e-6) << name;
  EXPECT_EQ(ours.result.epochs, wanted.result.epochs);
  EXPECT_EQ(ours.result.test.size(), wanted.result.test.size());
}

/// Pairs whose lengths differ much, so that shares of a step hold unequal numbers of tokens.
inline std::string write_uneven_pairs(const Folder& folder) {
  std::string out;
  Random random(7, Purpose::kGenerate);
  for (int i = 0; i < 61; ++i) {
    std::string source, target;
    const std::uint64_t length = 1 + random.below(9);
    for (std::uint64_t t = 0; t < length; ++t) {
      const auto letter = static_cast<char>(random.below(8));
      source += std::string(t > 0, ' ') + static_cast<char>('a' + letter);
      target += std::string(t > 0, ' ') + static_cast<char>('A' + letter);
    }
    out += source + '\t' + target + '\n';
  }
  return folder.write("pairs.tsv", out);
}

inline Recipe pairs_recipe(const Folder& folder, models::Architecture architecture) {
  Recipe r;
  r.name = "pairs";
  r.task.kind = TaskKind::kTranslation;
  r.data.name = write_uneven_pairs(folder);
  r.data.tokens = Tokens::kWords;
  r.model.architecture = architecture;
  r.model.embedding_width = r.model.hidden = 8;
  r.train.epochs = 3;
  r.train.batch = 11;
  r.train.label_smoothing = 0.1;
  return r;
}

/// Text of six letters in rows of 32, the last of them short.
inline Recipe text_recipe(const Folder& folder) {
  Recipe r;
  r.name = "text";
  r.task.kind = TaskKind::kLanguage;
  std::string text;
  Random random(5, Purpose::kGenerate);
  for (int i = 0; i < 1500; ++i) text += static_cast<char>('a' + random.below(6));
  r.data.name = folder.write("text.txt", text + "\n");
  r.data.tokens = Tokens::kCharacters;
  r.data.row_tokens = 32;
  r.model.embedding_width = r.model.hidden = 8;
  r.train.epochs = 2;
  r.train.batch = 7;
  return r;
}

/// A step of two rows that are the same is that of one of them, unless each draws dropout masks of its own. one(recipe, out) trains
/// on a pair, two(recipe, out) in two parts on that pair twice.
template <class One, class Two>
void expect_masks_of_their_own(const Folder& folder, Recipe r, const One& one, const Two& two) {
  r.data.validation = r.data.test = 0;
  r.train.epochs = 1;
  r.optim.kind = OptimizerKind::kSgd;
  for (const double rate : {0.0, 0.5}) {
    r.model.dropout = rate;
    const std::string pair = "a b c\tA B C\n", name = std::to_string(rate);
    r.data.name = folder.write("one.tsv", pair);
    const Trained alone = one(r, folder / ("one-" + name));
    r.data.name = folder.write("two.tsv", pair + pair);
    const double apart = distance(two(r, folder / ("two-" + name)).weights, alone.weights);
    if (rate == 0) {
      EXPECT_LT(apart, 2e-6);
    } else {
      EXPECT_GT(apart, 1e-5);
    }
  }
}

}  // namespace attend::train
