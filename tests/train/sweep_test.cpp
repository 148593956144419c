// Sweeps and nested cross-validation. Planted and seen to fail here: points ranked the wrong way round; the outer model
// trained on inner rows alone; held-out rows among the training rows. Meant to catch besides: finished trainings repeated,
// random points that depend on how many are drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "attend/base/error.h"
#include "attend/train/run.h"
#include "attend/train/sweep.h"
#include "train/small.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string refusal(const std::string& axis) {
  try {
    parse_axis(axis);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "taken";
}

TEST(Axis, IsCheckedAgainstTheSchema) {
  EXPECT_THAT(parse_axis("optim.lr=1e-3,1").values,
              ::testing::ElementsAre(Value(1e-3), Value(1.0)));
  EXPECT_THAT(parse_axis("model.cell=lstm,gru").values,
              ::testing::ElementsAre(Value(std::string("lstm")), Value(std::string("gru"))));
  EXPECT_THAT(parse_axis("model.bidirectional=true,false").values,
              ::testing::ElementsAre(Value(true), Value(false)));
  const Axis range = parse_axis("optim.lr=log:1e-4..1e-2");
  EXPECT_TRUE(range.logarithmic && range.values.empty());
  EXPECT_DOUBLE_EQ(range.low, 1e-4);
  EXPECT_DOUBLE_EQ(range.high, 1e-2);
  EXPECT_THAT(refusal("optim.lr"), HasSubstr("key=v1,v2"));
  EXPECT_THAT(refusal("optim.lr="), HasSubstr("key=v1,v2"));
  EXPECT_THAT(refusal("optim.lrr=1"), HasSubstr("'optim.lr'"));
  EXPECT_THAT(refusal("optim.lr=1e-3,x"), HasSubstr("expected a number"));
  EXPECT_THAT(refusal("optim.lr=1..1"), HasSubstr("empty"));
  EXPECT_THAT(refusal("optim.lr=log:0..1"), HasSubstr("above 0"));
  EXPECT_THAT(refusal("optim.lr=log:1e-3,1e-2"), HasSubstr("range"));
  EXPECT_THAT(refusal("optim.lr=0..1e9"), HasSubstr("optim.lr"));
  EXPECT_THAT(refusal("train.seed=1,2"), HasSubstr("--seeds"));
}

TEST(Points, GridAndRandom) {
  SweepOptions options;
  options.axes = {parse_axis("optim.lr=1e-3,1e-2"), parse_axis("model.hidden=4,8,16")};
  const auto grid = sweep_points(options);
  ASSERT_EQ(grid.size(), 6u);
  EXPECT_EQ(grid[1], (Settings{{"optim.lr", 1e-3}, {"model.hidden", std::int64_t{8}}}));
  EXPECT_EQ(grid[5], (Settings{{"optim.lr", 1e-2}, {"model.hidden", std::int64_t{16}}}));
  options.axes = {parse_axis("optim.lr=log:1e-4..1e-1"), parse_axis("model.hidden=3..5"),
                  parse_axis("model.cell=lstm,gru")};
  EXPECT_THROW(sweep_points(options), Error);  // a range has no grid
  options.samples = 400;
  const auto random = sweep_points(options);
  std::set<Value> hidden, cells;
  int low = 0;
  for (const Settings& point : random) {
    const double lr = std::get<double>(point[0].second);
    EXPECT_TRUE(lr >= 1e-4 && lr <= 1e-1);
    low += lr < std::sqrt(1e-4 * 1e-1);
    hidden.insert(point[1].second);
    cells.insert(point[2].second);
  }
  EXPECT_EQ(hidden.size(), 3u);
  EXPECT_EQ(cells.size(), 2u);
  EXPECT_NEAR(low, 200, 50);  // half below the geometric mean (5 sd)
  options.samples = 10;
  const auto fewer = sweep_points(options);
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), random.begin()));
  options.search_seed = 2;
  EXPECT_NE(sweep_points(options), fewer);
  options.axes.push_back(options.axes[0]);
  EXPECT_THROW(sweep_points(options), Error);
}

TEST(Sweep, RanksByValidationAndRepeatsNothing) {
  Folder folder;
  SweepOptions options;
  options.recipe = small_recipe(folder);
  options.recipe.data.test = 0.2;
  options.recipe.train.epochs = 2;
  options.axes = {parse_axis("optim.lr=1e-6,3e-2,1e3"), parse_axis("optim.kind=sgd")};
  options.recipe.model.embedding_l2 = 10;  // lr 1000 diverges
  options.recipe.train.clip_norm = 0;
  options.recipe.optim.warmup = 0;
  options.recipe.train.epochs = 6;
  options.seeds = 2;
  options.metric = "loss";
  options.out = folder / "sweep";
  std::int64_t trained = 0;
  options.on_run = [&](const Settings&, std::int64_t, std::int64_t total) {
    ++trained;
    EXPECT_EQ(total, 6);
  };
  const SweepResult first = sweep(options);
  EXPECT_EQ(trained, 6);
  ASSERT_EQ(first.points.size(), 3u);
  EXPECT_THAT(first.points[2].failure, HasSubstr("step"));
  EXPECT_TRUE(first.points[2].metrics.empty());
  const auto metric = [](const SweepPoint& p, const std::string& name) {
    for (const auto& [key, value] : p.metrics)
      if (key == name) return value;
    ADD_FAILURE() << name;
    return MeanSd{};
  };
  EXPECT_LE(metric(first.points[0], "loss").mean, metric(first.points[1], "loss").mean);
  EXPECT_EQ(metric(first.points[0], "test_accuracy").n, 2);
  const train::Run run = load_run(first.points[0].runs[1]);
  EXPECT_EQ(run.recipe.train.seed, options.recipe.train.seed + 1);
  const SweepResult again = sweep(options);
  EXPECT_EQ(trained, 6);  // diverged ones too
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(again.points[i].settings, first.points[i].settings);
  fs::remove_all(first.points[0].runs[0]);
  sweep(options);
  EXPECT_EQ(trained, 7);
}

TEST(Sweep, ChildProcessesGiveTheSameBits) {
  const char* program = std::getenv("ATTEND_PROGRAM");
  if (program == nullptr || !fs::exists(program)) GTEST_SKIP() << "ATTEND_PROGRAM is not built";
  Folder folder;
  SweepOptions options;
  options.recipe = small_recipe(folder);
  options.axes = {parse_axis("model.hidden=4,6")};
  options.out = folder / "one";
  const SweepResult one = sweep(options);
  options.jobs = 2;
  options.program = program;
  options.out = folder / "two";
  const SweepResult two = sweep(options);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(one.points[i].settings, two.points[i].settings);
    EXPECT_EQ(weights_of(one.points[i].runs[0]), weights_of(two.points[i].runs[0]));
  }
  options.recipe.data.name = folder / "missing.tsv";
  options.out = folder / "three";
  EXPECT_THROW(sweep(options), Error);
}

TEST(Sweep, StopsAndGoesOn) {
  Folder folder;
  std::atomic<int> stop{0};
  SweepOptions options;
  options.recipe = small_recipe(folder);
  options.axes = {parse_axis("model.hidden=3,4,5")};
  options.out = folder / "sweep";
  options.stop = &stop;
  options.on_run = [&](const Settings&, std::int64_t done, std::int64_t) {
    stop = done == 2 ? 15 : 0;
  };
  EXPECT_THROW(sweep(options), Interrupted);
  stop = 0;
  std::int64_t trained = 0;
  options.on_run = [&](const Settings&, std::int64_t, std::int64_t) { ++trained; };
  EXPECT_EQ(sweep(options).points.size(), 3u);
  EXPECT_EQ(trained, 1);
}

TEST(Nested, InnerAndOuterRowsNeverMeet) {
  Folder folder;
  NestedOptions options;
  options.sweep.recipe = small_recipe(folder);
  options.sweep.recipe.train.epochs = 2;
  options.sweep.axes = {parse_axis("optim.lr=1e-6,5e-2")};
  options.sweep.out = folder / "nested";
  options.outer = 3;
  options.inner = 2;
  const NestedResult result = nested_cross_validation(options);
  ASSERT_EQ(result.folds.size(), 3u);
  EXPECT_EQ(result.accuracy.n, 3);
  std::int64_t tested = 0;
  for (const NestedFold& fold : result.folds) {
    ASSERT_EQ(fold.test.size(), 1u);
    const train::Run outer = load_run(fold.runs[0]);
    EXPECT_EQ(outer.result.rows_validation, 0);
    EXPECT_EQ(outer.result.rows_train + outer.result.rows_test, 160);  // all but the fold
    EXPECT_EQ(outer.result.test.at("accuracy"), fold.test[0]);
    tested += outer.result.rows_test;
  }
  EXPECT_EQ(tested, 160);
  std::int64_t inner = 0;
  for (const auto& entry : fs::directory_iterator(folder / "nested")) {
    if (!entry.is_directory()) continue;
    const train::Run run = load_run(entry.path());
    if (run.recipe.data.inner_folds == 0) continue;
    ++inner;
    EXPECT_EQ(run.result.rows_train + run.result.rows_validation + run.result.rows_test, 160);
    EXPECT_NEAR(static_cast<double>(run.result.rows_validation), 53, 2);
  }
  EXPECT_EQ(inner, 3 * 2 * 2);
}

}  // namespace
}  // namespace attend::train
