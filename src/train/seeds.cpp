#include <map>

#include "attend/train/trainer.h"
#include "train/run_folder.h"

namespace attend::train {

namespace {

/// A folder for all seeds, claimed by the first rank.
std::string claim_for_all(const TrainOptions& options) {
  const auto claim = [&] { return claim_free_folder(folder_name(options.recipe.name)); };
  Ranks* ranks = options.ranks;
  if (ranks == nullptr) return claim();
  std::string out;
  ranks->together([&] { out = ranks->first() ? claim() : ""; });
  return ranks->text_of_first(out);
}

}  // namespace

SeedsResult train_seeds(const TrainOptions& options, std::int64_t seeds) {
  if (seeds < 1) fail_usage("seeds must be at least 1");
  std::string out = options.resume.empty() ? options.out : options.resume;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  if (is_finished_run(out) || is_unfinished_run(out))
    fail_usage(out + " is one run; several seeds need a folder of their own");
  SeedsResult result;
  std::map<std::string, std::vector<double>> values;
  for (std::int64_t s = 0; s < seeds; ++s) {
    TrainOptions one = options;
    one.recipe.train.seed += s;
    if (out.empty()) out = claim_for_all(options);
    const std::string run = out + "/seed-" + std::to_string(one.recipe.train.seed);
    one.out = one.resume = "";
    if (is_finished_run(run) || is_unfinished_run(run)) {
      one.resume = run;
      one.threads = 0;
    } else {
      one.out = run;
    }
    if (s > 0) one.on_note = nullptr;  // the data are the same
    result.runs.push_back(train(one));
    for (const auto& [name, value] : result.runs.back().validation) values[name].push_back(value);
    for (const auto& [name, value] : result.runs.back().test)
      values["test_" + name].push_back(value);
  }
  for (const auto& [name, list] : values) result.summary.emplace_back(name, mean_sd(list));
  return result;
}

}  // namespace attend::train
