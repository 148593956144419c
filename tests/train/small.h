#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "attend/base/file.h"
#include "attend/data/catalogue.h"
#include "attend/train/recipe.h"
#include "attend/train/trainer.h"
#include "support/temporary_folder.h"

namespace attend::train {

using Folder = test::TemporaryFolder;

/// A recipe that trains in hundredths of a second: 160 generated reviews in 3 epochs of 7 steps.
inline Recipe small_recipe(const Folder& folder) {
  data::MakeOptions options;
  options.rows = 160;
  data::make_set("synthetic-reviews", folder / "data", options);
  Recipe r;
  r.name = "small";
  r.data.name = folder / "data/synthetic-reviews.tsv";
  r.data.max_length = 12;
  r.data.split = Split::kStratified;
  r.model.embedding_width = 6;
  r.model.hidden = 5;
  r.model.attention = models::Attention::kPool;
  r.train.epochs = 3;
  r.train.batch = 20;
  r.train.checkpoint_seconds = 0;
  r.optim.lr = 1e-2;
  r.optim.warmup = 1;
  r.optim.schedule = ScheduleKind::kCosine;
  r.train.clip_norm = 1;
  return r;
}

inline std::string weights_of(const std::string& run) {
  return sha256_of_file(run + "/model.safetensors");
}

inline TrainResult train_small(const Recipe& recipe, const std::string& out, int threads = 1) {
  TrainOptions options;
  options.recipe = recipe;
  options.out = out;
  options.threads = threads;
  return train(options);
}

inline TrainResult resume_small(const std::string& run) {
  TrainOptions options;
  options.resume = run;
  return train(options);
}

inline std::vector<std::string> leftovers(const std::string& folder) {
  std::vector<std::string> out;
  if (!std::filesystem::exists(folder)) return out;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder))
    if (file.path().string().find(".tmp") != std::string::npos) out.push_back(file.path());
  return out;
}

}  // namespace attend::train
