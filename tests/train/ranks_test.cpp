// Several ranks train one model: what they say to each other, and that a recipe means the same whatever their number. Here ranks
// are threads of this process, each with a group of its own over loopback; tests/cli/test_launch.py has processes.
//
// Planted faults that these tests kill:
//   gradients averaged over ranks in place of weighted by their tokens; every rank takes the first one's rows; a rank takes a block of
//   rows and the rest of the division is dropped; clipping before the sum; figures of an epoch those of rank 0's rows; every rank draws
//   rank 0's masks; a signal stops the rank alone that got it; a run goes on with another number of ranks; rank 0's metrics are not told
//   to the others; a parameter that no rank has a gradient of gets zeros; the shared array is read before the others have written, or
//   before they have added up; its parts leave a rest; the third rank's is left out; where all fail, each tells of itself.
#include "attend/train/ranks.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "attend/base/random.h"
#include "support/message_of.h"
#include "train/array_sum.h"
#include "train/same_training.h"
#include "train/small.h"
#include "train/step_sum.h"

namespace attend::train {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

RankVariables place(int rank, int size, int port) {
  RankVariables v;
  v.rank = rank, v.size = v.local_size = size;
  v.host = "127.0.0.1", v.port = port, v.store_there = true;
  return v;
}

/// Are ranks on one machine, or is every one alone on its own?
enum class Where { kTogether, kApart };

/// Runs `act` as each of `size` ranks; what the first of them throws that is not FailedElsewhere is thrown here.
void as_ranks(int size, const std::function<void(Ranks&)>& act, const RankPatience& patience = {},
              Where where = Where::kTogether) {
  const RankStore store;
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      try {
        RankVariables variables = place(r, size, store.port());
        if (where == Where::kApart) variables.local_size = 1;
        const auto ranks = Ranks::join(variables, patience);
        act(*ranks);
      } catch (const FailedElsewhere&) {
      } catch (...) {
        errors[static_cast<std::size_t>(r)] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

TEST(Ranks, SumAndTellTheSame) {
  std::vector<std::vector<float>> sums(3);
  as_ranks(3, [&](Ranks& ranks) {
    EXPECT_EQ(ranks.size(), 3);
    EXPECT_EQ(ranks.first(), ranks.rank() == 0);
    const at::Tensor a = at::full({1001}, 0.1F * static_cast<float>(ranks.rank() + 1), at::kFloat);
    const at::Tensor b = at::full({2, 2}, static_cast<double>(ranks.rank()), at::kDouble);
    ranks.sum({a, b});
    EXPECT_NEAR(a[1000].item<double>(), 0.6, 1e-6);
    EXPECT_EQ(b[1][1].item<double>(), 3);
    const float* first = a.const_data_ptr<float>();
    sums[static_cast<std::size_t>(ranks.rank())].assign(first, first + a.numel());
    const std::string long_text(100'000, 'x');
    EXPECT_EQ(ranks.text_of_first(ranks.first() ? "runs/a-1" : "other"), "runs/a-1");
    EXPECT_EQ(ranks.text_of_first(ranks.first() ? "" : "other"), "");
    EXPECT_EQ(ranks.text_of_first(ranks.first() ? long_text : ""), long_text);
  });
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(Ranks, WhereOneFailsAllDo) {
  std::vector<std::string> said(3);
  std::vector<int> kinds(3);
  as_ranks(3, [&](Ranks& ranks) {
    const auto r = static_cast<std::size_t>(ranks.rank());
    ranks.together([] {});
    try {
      ranks.together([&] {
        if (r > 0) fail_input("bad data on " + std::to_string(r));
      });
    } catch (const Error& error) {
      said[r] = error.what(), kinds[r] = static_cast<int>(error.kind());
      EXPECT_EQ(dynamic_cast<const FailedElsewhere*>(&error) == nullptr, r == 1);
    }
  });
  EXPECT_EQ(said[1], "bad data on 1");
  EXPECT_THAT(said[0], HasSubstr("rank 1"));
  EXPECT_THAT(said[2], HasSubstr("rank 1")) << "its own is not told: the first suffices";
  EXPECT_EQ(kinds, std::vector<int>(3, static_cast<int>(ErrorKind::kBadInput)));
}

TEST(Ranks, OneThatLeftIsLost) {
  std::string said;
  as_ranks(2, [&](Ranks& ranks) {
    ranks.sum({at::zeros({5})});
    if (ranks.rank() == 1) return;  // closes its connections
    said = test::message_of([&] { ranks.sum({at::zeros({5})}); });
  });
  EXPECT_THAT(said, AllOf(HasSubstr("127.0.0.1"), HasSubstr("peer")));
  EXPECT_THAT(said, Not(AnyOf(HasSubstr("[/"), HasSubstr(". ")))) << "no file, no advice";
}

TEST(Ranks, OneThatNoLongerAnswersIsLost) {
  std::string said;
  RankPatience patience;
  patience.step = std::chrono::milliseconds(500);
  std::atomic<bool> over{false};
  as_ranks(
      2,
      [&](Ranks& ranks) {
        if (ranks.rank() == 1) {
          while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
          return;
        }
        said = test::message_of([&] { ranks.sum({at::zeros({5})}); });
        over = true;
      },
      patience);
  EXPECT_THAT(said, HasSubstr("no answer within 0.5"));
}

TEST(Ranks, WhoNeverCameIsNamed) {
  const RankStore store;
  RankPatience patience;
  patience.join = std::chrono::milliseconds(1000);
  EXPECT_THAT(test::message_of([&] { Ranks::join(place(0, 3, store.port()), patience); }),
              AllOf(HasSubstr("of 3 ranks rank 1, 2"), HasSubstr("within 1 s")));
}

/// A port that is bound and on which nobody listens.
class TakenPort {
 public:
  TakenPort() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(fd_, any, size), 0);
    EXPECT_EQ(::getsockname(fd_, any, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~TakenPort() { ::close(fd_); }
  int port() const { return port_; }

 private:
  int fd_, port_ = 0;
};

TEST(Ranks, PortsThatAreTakenOrEmpty) {
  const TakenPort taken;
  RankVariables v = place(0, 2, taken.port());
  v.store_there = false;
  const std::string port = std::to_string(taken.port());
  EXPECT_THAT(test::message_of([&] { Ranks::join(v); }),
              AllOf(HasSubstr(port), HasSubstr("in use"), HasSubstr("MASTER_PORT")));
  v.rank = 1;
  RankPatience patience;
  patience.join = std::chrono::milliseconds(1000);
  EXPECT_THAT(test::message_of([&] { Ranks::join(v, patience); }),
              AllOf(HasSubstr("rank 1 of 2"), HasSubstr("127.0.0.1:" + port)));
}

using Settings = std::vector<std::pair<std::string, std::string>>;

/// Sets variables for as long as it lives.
class Variables {
 public:
  explicit Variables(const Settings& set) : set_(set) {
    for (const auto& [name, value] : set_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Variables() {
    for (const auto& variable : set_) ::unsetenv(variable.first.c_str());
  }

 private:
  Settings set_;
};

TEST(RankVariables, AreTorchruns) {
  EXPECT_EQ(rank_variables().size, 1) << "none are set";
  const Variables set(Settings{{"WORLD_SIZE", "4"},
                               {"RANK", "3"},
                               {"LOCAL_WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "10.0.0.1"},
                               {"MASTER_PORT", "29500"}});
  RankVariables v = rank_variables();
  EXPECT_EQ(v.size, 4);
  EXPECT_EQ(v.rank, 3);
  EXPECT_EQ(v.local_size, 2);
  EXPECT_EQ(v.host, "10.0.0.1");
  EXPECT_EQ(v.port, 29500);
  EXPECT_FALSE(v.store_there);
  const Variables agent(Settings{{"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  EXPECT_TRUE(rank_variables().store_there);
}

TEST(RankVariables, ThatMakeNoSenseAreNamed) {
  const Settings good{
      {"WORLD_SIZE", "2"}, {"RANK", "1"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29500"}};
  const struct {
    const char *name, *value, *says;
  } bad[] = {{"RANK", "2", "RANK: expected a whole number from 0 to 1, got '2'"},
             {"RANK", "-1", "got '-1'"},
             {"RANK", "", "RANK is not"},
             {"WORLD_SIZE", "0", "WORLD_SIZE: expected"},
             {"WORLD_SIZE", "two", "got 'two'"},
             {"MASTER_PORT", "", "MASTER_PORT is not"},
             {"MASTER_PORT", "65536", "MASTER_PORT: expected a whole number from 1 to 65535"},
             {"MASTER_PORT", "29500x", "got '29500x'"},
             {"MASTER_ADDR", "", "MASTER_ADDR is not"},
             {"LOCAL_WORLD_SIZE", "3", "LOCAL_WORLD_SIZE: expected a whole number from 1 to 2"}};
  for (const auto& one : bad) {
    const Variables set(good), wrong(Settings{{one.name, one.value}});
    EXPECT_THAT(test::message_of([] { rank_variables(); }), HasSubstr(one.says));
  }
}

Trained train_with(int size, const Recipe& recipe, const std::string& out,
                   Where where = Where::kTogether) {
  Trained trained;
  const auto one = [&](Ranks* ranks) { train_into(trained, recipe, out, ranks); };
  if (size == 1)
    one(nullptr);
  else
    as_ranks(
        size, [&](Ranks& ranks) { one(&ranks); }, {}, where);
  trained.weights = weights_in(out);
  return trained;
}

/// The same losses and weights to rounding, with 2 and with 3 ranks.
void expect_same_as_alone(const Recipe& given, const Folder& folder) {
  const Recipe recipe = plain_steps(given);
  const Trained alone = train_with(1, recipe, folder / "alone");
  for (const int size : {2, 3}) {
    const std::string name = "ranks-" + std::to_string(size);
    expect_same(train_with(size, recipe, folder / name), alone, name);
  }
}

TEST(SharedTraining, OfClassificationWithLengths) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.model.mask_padding = true;
  r.model.embedding_l2 = 1e-3;
  r.train.clip_norm = 0.05;  // at most steps
  expect_same_as_alone(r, folder);
}

TEST(SharedTraining, OfMoreRanksThanRows) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.train.batch = 2;
  r.train.epochs = 1;
  r.data.test = 0.21;  // an odd number of training rows: the last step has one
  expect_same_as_alone(r, folder);
}

TEST(SharedTraining, OfTranslation) {
  const Folder folder;
  expect_same_as_alone(pairs_recipe(folder, models::Architecture::kBahdanau), folder);
}

TEST(SharedTraining, EveryRankDrawsMasksOfItsOwn) {
  const Folder folder;
  const auto with = [](int ranks) {
    return [ranks](const Recipe& r, const std::string& out) { return train_with(ranks, r, out); };
  };
  expect_masks_of_their_own(folder, pairs_recipe(folder, models::Architecture::kBahdanau), with(1),
                            with(2));
}

TEST(SharedTraining, OfLanguage) {
  const Folder folder;
  expect_same_as_alone(text_recipe(folder), folder);
}

TEST(SharedTraining, OfAccumulatedSteps) {
  const Folder folder;
  Recipe r = pairs_recipe(folder, models::Architecture::kBahdanau);
  r.train.batch = 5, r.train.accumulate = 3;
  r.train.clip_norm = 0.05;
  expect_same_as_alone(r, folder);
}

TEST(SharedTraining, OverTheNetworkAloneTheSameBitsOfTwo) {  // a + b = b + a
  const Folder folder;
  const Recipe r = small_recipe(folder);
  train_with(2, r, folder / "together");
  train_with(2, r, folder / "apart", Where::kApart);
  EXPECT_EQ(weights_of(folder / "together"), weights_of(folder / "apart"));
}

TEST(SharedTraining, TheSameBitsEachTimeWithDropout) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.model.dropout = 0.3;
  const Trained once = train_with(2, r, folder / "once");
  train_with(2, r, folder / "again");
  EXPECT_EQ(weights_of(folder / "once"), weights_of(folder / "again"));
  EXPECT_GT(distance(once.weights, train_with(1, r, folder / "alone").weights), 1e-4)
      << "every rank draws masks of its own";
}

TEST(SharedTraining, EveryRankStopsEarlyAndKeepsTheBest) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.train.epochs = 30;
  r.train.patience = 2;
  r.train.min_delta = 0.02;
  const Trained alone = train_with(1, r, folder / "alone"), shared = train_with(2, r, folder / "s");
  EXPECT_LT(alone.result.epochs, 30);
  EXPECT_EQ(shared.result.epochs, alone.result.epochs);
  EXPECT_EQ(shared.result.best_epoch, alone.result.best_epoch);
}

TEST(SharedTraining, WhatItBeganWithIsKeptAndAsked) {
  const Folder folder;
  const Recipe r = small_recipe(folder);
  std::atomic<int> stop{SIGTERM};
  std::string said;
  as_ranks(2, [&](Ranks& ranks) {
    TrainOptions options;
    options.recipe = r;
    options.out = folder / "run";
    options.threads = 1;
    options.ranks = &ranks;
    if (ranks.rank() == 1) options.stop = &stop;  // asked of one, done by all
    const std::string message = test::message_of([&] { train(options); });
    if (ranks.first()) said = message;
  });
  EXPECT_THAT(said, AllOf(HasSubstr("stopped by SIGTERM"),
                          HasSubstr("attend launch --nproc 2 -- train --resume ")));
  EXPECT_THAT(test::message_of([&] { resume_small(folder / "run"); }),
              AllOf(HasSubstr("began with 2 ranks"), HasSubstr("launch --nproc 2")));
  as_ranks(2, [&](Ranks& ranks) {
    TrainOptions options;
    options.resume = folder / "run";
    options.ranks = &ranks;
    train(options);
  });
  train_with(2, r, folder / "whole");
  EXPECT_EQ(weights_of(folder / "run"), weights_of(folder / "whole"));
}

TEST(SharedTraining, ADivergedLossEndsAll) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.optim.kind = OptimizerKind::kSgd;
  r.optim.lr = 1e30;
  r.train.clip_norm = 0;
  std::vector<std::string> said(2);
  as_ranks(2, [&](Ranks& ranks) {
    TrainOptions options;
    options.recipe = r;
    options.out = folder / "run";
    options.threads = 1;
    options.ranks = &ranks;
    said[static_cast<std::size_t>(ranks.rank())] = test::message_of([&] { train(options); });
  });
  EXPECT_THAT(said[0], HasSubstr("lower optim.lr"));
  EXPECT_EQ(said[0], said[1]);
}

void expect_array_sums(Where where, std::int64_t elements) {
  as_ranks(
      3,
      [&](Ranks& ranks) {
        ArraySum array(ranks, at::zeros({elements}));
        EXPECT_EQ(array.shared(), where == Where::kTogether);
        for (int round = 0; round < 20; ++round) {
          at::Tensor mine = array.mine();
          const auto r = static_cast<float>(ranks.rank());
          for (std::int64_t i = 0; i < elements; ++i)
            mine[i] = r * static_cast<float>(i) + static_cast<float>(round);
          const at::Tensor figures = at::full({2}, 1.0 + ranks.rank(), at::kDouble);
          const at::Tensor sum = array.sum(figures);
          EXPECT_EQ(figures[1].item<double>(), 6);
          for (std::int64_t i = 0; i < elements; ++i)
            EXPECT_EQ(sum[i].item<float>(), static_cast<float>(3 * i + 3 * round)) << i;
        }
      },
      {}, where);
}

TEST(ArraySum, InSharedMemoryAndOverTheNetwork) {
  for (const std::int64_t elements : {1, 2, 16, 47, 48, 49, 100}) {
    expect_array_sums(Where::kTogether, elements);
    expect_array_sums(Where::kApart, elements);
  }
}

TEST(StepSum, LeavesAParameterThatNoRankTouchedWithoutAGradient) {
  std::vector<bool> has(4);
  as_ranks(2, [&](Ranks& ranks) {
    const at::Tensor a = at::zeros({3}).set_requires_grad(true),
                     b = at::zeros({2}).set_requires_grad(true);
    StepSum step(ranks, {{"a", a}, {"b", b}});
    StepSums mine;
    if (ranks.rank() == 1) {  // 3 of 3 rows, gradient 2 each
      (a * 6).sum().backward();
      mine.tally.rows = 3;
      mine.loss = 5;
    }
    const StepSums all = step.sum(mine);
    EXPECT_EQ(all.loss, 5);
    EXPECT_EQ(all.tally.rows, 3);
    EXPECT_EQ(a.grad()[2].item<float>(), 2);
    EXPECT_FALSE(b.grad().defined());
  });
}

}  // namespace
}  // namespace attend::train
