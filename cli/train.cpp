// attend train RECIPE: one run, or one for each of several seeds.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/ops/machine.h"
#include "attend/train/trainer.h"
#include "output.h"
#include "program.h"
#include "results.h"
#include "signals.h"

namespace attend::cli {
namespace {

struct TrainArguments {
  std::string recipe, data, out, resume;
  std::vector<std::string> settings;
  std::optional<std::uint64_t> seed, seeds, threads;
};

train::TrainOptions options_of(const TrainArguments& o) {
  train::TrainOptions options;
  if (!o.resume.empty()) {
    if (!o.recipe.empty() || !o.data.empty() || !o.settings.empty() || !o.out.empty() || o.seed ||
        o.seeds)
      fail_usage(
          "--resume continues a run with its own recipe, data and seed: give it alone or with "
          "--threads");
    options.resume = o.resume;
  } else if (o.recipe.empty()) {
    fail_usage("'attend train' needs a RECIPE, or --resume RUN ('attend recipes' lists them)");
  } else {
    options.recipe = train::load_recipe(o.recipe);
  }
  for (const std::string& setting : o.settings) train::set_recipe_value(options.recipe, setting);
  if (o.seed) train::set_recipe_value(options.recipe, "train.seed=" + std::to_string(*o.seed));
  options.data = o.data;
  options.out = o.out;
  options.threads = static_cast<int>(o.threads.value_or(0));
  return options;
}

/// The log and the bar, both on stderr.
void report_to(Progress& bar, train::TrainOptions& options) {
  options.on_step = [&bar](const train::Progress& p) {
    const std::string label = "epoch " + std::to_string(p.epoch) + "/" + std::to_string(p.epochs);
    bar.update(label, static_cast<double>(p.step) / static_cast<double>(p.steps),
               "loss " + fixed(p.loss, 4));
  };
  options.on_epoch = [&bar](const train::EpochRecord& e) {
    bar.clear();
    const std::string line = epoch_line(e) + "\n";
    std::fputs(line.c_str(), stderr);
  };
  options.on_note = [&bar](const std::string& text) {
    bar.clear();
    const std::string line = "attend: note: " + text + "\n";
    std::fputs(line.c_str(), stderr);
  };
}

/// The processes that train this model with us, or none. They meet before anything else is done, so that what fails on one
/// ends them all.
std::unique_ptr<train::Ranks> join_others() {
  const train::RankVariables place = train::rank_variables();
  return place.size > 1 ? train::Ranks::join(place) : nullptr;
}

/// Rank 0 speaks for all; the others tell only what they alone have met.
int as_rank(const train::Ranks* ranks, const std::function<int()>& act) {
  if (ranks == nullptr) return act();
  try {
    return act();
  } catch (const train::FailedElsewhere& elsewhere) {
    return static_cast<int>(elsewhere.kind());
  } catch (const train::Interrupted& stopped) {
    if (ranks->first()) throw;
    return 128 + stopped.signal();
  } catch (const Error& error) {
    if (ranks->first()) throw;
    if (error.kind() == ErrorKind::kDiverged) return static_cast<int>(error.kind());
    throw Error(error.kind(), "rank " + std::to_string(ranks->rank()) + ": " + error.what());
  }
}

int train_one(Output& out, const train::TrainOptions& options) {
  const train::TrainResult result = train::train(options);
  if (options.ranks != nullptr && !options.ranks->first()) return 0;
  if (result.finished_before) out.note(result.run + " was finished before; nothing was trained");
  if (out.json())
    out.document(document_of(result));
  else
    print(out, result);
  return 0;
}

int train_several(Output& out, const train::TrainOptions& options, std::int64_t seeds) {
  const train::SeedsResult result = train::train_seeds(options, seeds);
  if (options.ranks != nullptr && !options.ranks->first()) return 0;
  if (out.json())
    out.document(document_of(result));
  else
    print(out, result);
  return 0;
}

int train_as_asked(Output& out, const TrainArguments& o, train::Ranks* ranks,
                   const std::atomic<int>& stop) {
  train::TrainOptions options;
  const auto read = [&] { options = options_of(o); };
  ranks == nullptr ? read() : ranks->together(read);
  options.ranks = ranks;
  options.stop = &stop;
  use_threads(options.threads);
  Progress bar;
  report_to(bar, options);
  return o.seeds ? train_several(out, options, static_cast<std::int64_t>(*o.seeds))
                 : train_one(out, options);
}

}  // namespace

void add_train(Program& program) {
  const auto o = std::make_shared<TrainArguments>();
  const Verb verb = program.verb("train", "Train a recipe and write a run");
  verb.positional("RECIPE", Kind::kRecipe, o->recipe, Need::kOptional,
                  "a recipe's name, or the path of a .toml file");
  verb.text("--data", Kind::kData, o->data, "data to train on, instead of the recipe's");
  verb.texts("--set", Kind::kKeyValue, o->settings,
             "change a key of the recipe ('attend recipes --keys' lists them)");
  verb.number("--seed", o->seed, 0, (std::uint64_t{1} << 63) - 1,
              "seed of weights, order and dropout (default: the recipe's)");
  verb.number("--seeds", o->seeds, 1, 10'000, "train this many runs, with seeds SEED, SEED + 1, …");
  verb.text("--out", Kind::kFolder, o->out,
            "folder of the run (default: the first free runs/RECIPE-N)");
  verb.text("--resume", Kind::kRun, o->resume, "continue an unfinished run, bit for bit");
  verb.number("--threads", o->threads, 1, 1024,
              "threads to use (default: all cores, shared by the ranks on this machine); part of "
              "what decides the bits");
  verb.example("attend train guide/sentiment-lstm-attention --data hutto-reviews --seeds 5");
  verb.example("attend train guide/sentiment-lstm --set optim.lr=3e-3 --out runs/quick");
  verb.run([o](Output& out) {
    const std::unique_ptr<train::Ranks> ranks = join_others();
    return stoppable([&](const std::atomic<int>& stop) {
      return as_rank(ranks.get(), [&] { return train_as_asked(out, *o, ranks.get(), stop); });
    });
  });
}

}  // namespace attend::cli
