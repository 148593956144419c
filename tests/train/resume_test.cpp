// Interrupted trainings go on bit for bit; faults leave nothing half-written. Planted and seen to fail here: optimiser state
// or step count not restored; best weights, the sum of an average or the epoch's tally left out of a checkpoint; the pointer written before the
// checkpoint; checkpoints pruned to one whatever was asked; a half line left in metrics.jsonl; the last files left behind
// when one of them fails.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/train/run.h"
#include "train/faults.h"
#include "train/small.h"

extern char** environ;

namespace attend::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Runs until step `stop_at` (from 1, over all epochs) and stops there as a signal would; false when it ended before.
bool train_until(TrainOptions options, std::int64_t stop_at, int signal = SIGINT) {
  std::atomic<int> stop{0};
  std::int64_t steps = 0;
  options.stop = &stop;
  options.on_step = [&](const Progress&) {
    if (++steps == stop_at) stop = signal;
  };
  try {
    train(options);
    return false;
  } catch (const Interrupted& e) {
    EXPECT_EQ(e.signal(), signal);
    EXPECT_THAT(e.what(), HasSubstr("attend train --resume " + e.run()));
    return true;
  }
}

std::vector<Recipe> kinds(const Folder& folder) {
  const Recipe base = small_recipe(folder);
  Recipe gru = base;
  gru.model.cell = models::Cell::kGru;
  gru.model.bidirectional = true;
  gru.model.layers = 2;
  gru.optim.kind = OptimizerKind::kSgd;
  gru.optim.momentum = 0.9;
  gru.optim.lr = 0.5;
  Recipe best = base;
  best.train.epochs = 8;
  best.train.patience = 2;
  best.train.watch = Metric::kAccuracy;
  best.optim.kind = OptimizerKind::kAdamW;
  best.optim.lr = 0.1;
  Recipe averaged = base;
  averaged.train.average = 3;
  Recipe accumulated = base;
  accumulated.train.batch = 5, accumulated.train.accumulate = 4;  // as many steps
  Recipe lstmn = base;
  lstmn.model.cell = models::Cell::kLstmn, lstmn.model.attention_width = 4;
  lstmn.model.attention = models::Attention::kNone, lstmn.model.recurrent_dropout = 0;
  return {base, gru, best, averaged, accumulated, lstmn};
}

TEST(Resume, BitForBitAtRandomSteps) {
  Folder folder;
  Random random(7, Purpose::kGenerate);
  for (const int threads : {1, 2}) {
    int k = 0;
    for (const Recipe& recipe : kinds(folder)) {
      const std::string name = std::to_string(threads) + "-" + std::to_string(k++);
      const TrainResult whole = train_small(recipe, folder / ("whole" + name), threads);
      const auto steps = static_cast<std::uint64_t>(7 * whole.epochs);
      const std::string run = folder / ("parts" + name);
      TrainOptions options;
      options.recipe = recipe;
      options.out = run;
      options.threads = threads;
      ASSERT_TRUE(
          train_until(options, static_cast<std::int64_t>(1 + random.below(steps / 2)), SIGTERM));
      TrainOptions again;
      again.resume = run;
      while (train_until(again, static_cast<std::int64_t>(1 + random.below(steps / 2)))) {
      }
      EXPECT_EQ(weights_of(run), weights_of(whole.run)) << name;
      const TrainResult parts = resume_small(run);  // once more: nothing to do
      EXPECT_TRUE(parts.finished_before);
      EXPECT_EQ(parts.epochs, whole.epochs);
      EXPECT_EQ(parts.best_epoch, whole.best_epoch);
      EXPECT_EQ(parts.train, whole.train);  // running means cross the interruption too
      EXPECT_EQ(parts.validation, whole.validation);
      const train::Run loaded = load_run(run);
      EXPECT_EQ(static_cast<std::int64_t>(loaded.history.size()), whole.epochs);
    }
  }
}

TEST(Resume, SameSeedSameBitsAndOtherSeedsOthers) {
  Folder folder;
  Recipe recipe = small_recipe(folder);
  train_small(recipe, folder / "a", 2);
  train_small(recipe, folder / "b", 2);
  recipe.train.seed = 2;
  train_small(recipe, folder / "c", 2);
  EXPECT_EQ(weights_of(folder / "a"), weights_of(folder / "b"));
  EXPECT_NE(weights_of(folder / "a"), weights_of(folder / "c"));
}

// ------------------------------------------------------------------------------------------------ kill −9

/// The child of the tests below: trains or resumes, and dies where ATTEND_TEST_KILL says ("step N" or "call N").
TEST(Child, DISABLED_Train) {
  const std::string run = std::getenv("ATTEND_TEST_RUN"), how = std::getenv("ATTEND_TEST_KILL");
  const long n = std::atol(how.c_str() + 5);
  TrainOptions options;
  if (fs::exists(run + "/recipe.toml"))
    options.resume = run;
  else
    options.recipe = load_recipe(std::getenv("ATTEND_TEST_RECIPE")), options.out = run,
    options.threads = 1;
  long steps = 0;
  options.on_step = [&](const Progress&) {
    if (how.starts_with("step ") && ++steps == n) ::raise(SIGKILL);
  };
  if (how.starts_with("call ")) faults::arm(n, faults::Act::kKill);
  train(options);
}

/// Status of the child as a shell gives it.
int run_child(const std::string& recipe, const std::string& run, const std::string& kill) {
  ::setenv("ATTEND_TEST_RUN", run.c_str(), 1);
  ::setenv("ATTEND_TEST_RECIPE", recipe.c_str(), 1);
  ::setenv("ATTEND_TEST_KILL", kill.c_str(), 1);
  const char* argv[] = {"/proc/self/exe", "--gtest_also_run_disabled_tests",
                        "--gtest_filter=Child.DISABLED_Train", nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  EXPECT_EQ(::posix_spawn(&pid, argv[0], &files, nullptr, const_cast<char**>(argv), environ), 0);
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Kill, AtStepsAndInsideSaves) {
  Folder folder;
  Recipe recipe = small_recipe(folder);
  recipe.train.keep = 2;
  const TrainResult whole = train_small(recipe, folder / "whole", 1);
  write_file_atomically(folder / "r.toml", to_toml(recipe));
  const std::string run = folder / "killed";
  // Calls: open, write, fsync, rename, fsync of each file in turn; 21 steps. Each child goes on where the last one fell.
  for (const char* kill : {"call 3", "call 9", "step 9", "call 14", "call 17", "call 22", "step 6",
                           "call 30", "call 41"}) {
    const int status = run_child(folder / "r.toml", run, kill);
    if (status == 0) break;
    ASSERT_EQ(status, 128 + SIGKILL) << kill;
    EXPECT_THROW(load_run(run), Error);
    if (!fs::exists(run + "/recipe.toml"))
      fs::remove_all(run);  // fell before there was anything to resume
  }
  if (!fs::exists(run + "/SHA256SUMS")) {
    ASSERT_EQ(run_child(folder / "r.toml", run, "none 0"), 0);
  }
  EXPECT_EQ(weights_of(run), weights_of(whole.run));
  load_run(run);
}

// ------------------------------------------------------------------------------------------------ faults

void expect_sound_after(const std::string& run, const std::string& reference, long n) {
  EXPECT_THAT(leftovers(run), ::testing::IsEmpty()) << n;
  if (!fs::exists(run)) return;  // failed before anything was made
  ASSERT_TRUE(fs::exists(run + "/recipe.toml")) << n;
  EXPECT_THROW(load_run(run), Error) << n;
  for (const char* last : {"model.safetensors", "config.json", "README.md", "results.json"})
    EXPECT_FALSE(fs::exists(run + "/" + last)) << n << last;
  if (fs::exists(run + "/metrics.jsonl")) {
    const std::string lines = read_file(run + "/metrics.jsonl");
    EXPECT_TRUE(lines.empty() || lines.back() == '\n') << n;
  }
  resume_small(run);
  EXPECT_EQ(weights_of(run), reference) << n;
  load_run(run);
}

void fail_every_call(faults::Act act) {
  Folder folder;
  Recipe recipe = small_recipe(folder);
  recipe.train.epochs = 2;
  const std::string reference = weights_of(train_small(recipe, folder / "whole").run);
  faults::arm(-1, faults::Act::kFail);  // counts only
  train_small(recipe, folder / "count");
  const long calls = faults::disarm();
  ASSERT_GT(calls, 30);
  int failed = 0;
  for (long n = 1; n <= calls; ++n) {
    const std::string run = folder / std::to_string(n);
    faults::arm(n, act);
    try {
      train_small(recipe, run);
      faults::disarm();  // the fsync of a folder may fail unseen: the rename has been done
      EXPECT_EQ(weights_of(run), reference);
      continue;
    } catch (const Error& e) {
      faults::disarm();
      ++failed;
      EXPECT_EQ(e.kind(), ErrorKind::kIo) << n << e.what();
    }
    expect_sound_after(run, reference, n);
  }
  EXPECT_GT(failed, calls / 2);
}

TEST(Faults, EveryCallFailsOnce) { fail_every_call(faults::Act::kFail); }
TEST(Faults, TheDiskIsFullFromEveryCallOn) { fail_every_call(faults::Act::kHalf); }

TEST(Faults, CheckpointsSurviveAFailedOne) {
  Folder folder;
  const Recipe recipe = small_recipe(folder);
  const std::string reference = weights_of(train_small(recipe, folder / "whole").run);
  TrainOptions options;
  options.recipe = recipe;
  options.out = folder / "run";
  options.threads = 1;
  ASSERT_TRUE(train_until(options, 10));  // checkpoints after epoch 1 and at step 10
  const std::string latest = read_file(folder / "run/checkpoints/latest");
  for (long n = 1; n <= 8; ++n) {  // opens, writes, syncs and renames of the next one
    faults::arm(5 + n, faults::Act::kHalf);
    TrainOptions again;
    again.resume = folder / "run";
    EXPECT_THROW(train(again), Error) << n;
    faults::disarm();
    EXPECT_THAT(leftovers(folder / "run"), ::testing::IsEmpty());
    EXPECT_EQ(read_file(folder / "run/checkpoints/latest"), latest) << n;
  }
  resume_small(folder / "run");
  EXPECT_EQ(weights_of(folder / "run"), reference);
}

TEST(Resume, KeepsAsManyCheckpointsAsAsked) {
  Folder folder;
  Recipe recipe = small_recipe(folder);
  recipe.train.epochs = 6;  // 5 checkpoints: the last epoch is in the run itself
  for (const std::int64_t keep : {1, 3}) {
    recipe.train.keep = keep;
    const std::string run = train_small(recipe, folder / std::to_string(keep)).run;
    std::vector<std::string> names;
    for (const auto& file : fs::directory_iterator(run + "/checkpoints"))
      names.push_back(file.path().filename());
    std::vector<std::string> expected{"latest"};
    for (std::int64_t epoch = 5; epoch > 5 - keep; --epoch)
      expected.push_back("step-0000000" + std::to_string(7 * epoch) + ".safetensors");
    EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(expected));
    EXPECT_THAT(read_file(run + "/checkpoints/latest"),
                ::testing::StartsWith("step-000000035.safetensors "));
  }
}

TEST(Faults, ATornCheckpointIsSeen) {
  Folder folder;
  TrainOptions options;
  options.recipe = small_recipe(folder);
  options.out = folder / "run";
  ASSERT_TRUE(train_until(options, 3));
  const std::string latest = read_file(folder / "run/checkpoints/latest");
  const std::string path = folder / ("run/checkpoints/" + latest.substr(0, latest.find(' ')));
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomically(path, bytes);
  try {
    resume_small(folder / "run");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(e.what(), HasSubstr(path));
  }
}

TEST(Resume, ChangesInBetweenAreRefused) {
  Folder folder;
  const Recipe recipe = small_recipe(folder);
  TrainOptions options;
  options.recipe = recipe;
  options.out = folder / "run";
  ASSERT_TRUE(train_until(options, 3));
  const auto refused = [&](const char* what) {
    try {
      resume_small(folder / "run");
      ADD_FAILURE() << what;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_THAT(e.what(), HasSubstr(what));
    }
  };
  const std::string toml = read_file(folder / "run/recipe.toml");
  std::string other = toml;
  other.replace(other.find("lr = 0.01"), 9, "lr = 0.02");
  write_file_atomically(folder / "run/recipe.toml", other);
  refused("recipe.toml has changed");
  write_file_atomically(folder / "run/recipe.toml", toml);
  const std::string rows = read_file(recipe.data.name);
  std::string others = rows;
  const auto tab = others.find('\t', others.find('\n'));
  others[tab - 1] = 'q';
  write_file_atomically(recipe.data.name, others);
  refused("has changed since");
  write_file_atomically(recipe.data.name, rows);
  TrainOptions threads;
  threads.resume = folder / "run";
  threads.threads = 7;
  EXPECT_THROW(train(threads), Error);
  resume_small(folder / "run");
  EXPECT_THROW(resume_small(folder / "nothing"), Error);
}

}  // namespace
}  // namespace attend::train
