// Runs under the tsan preset too (std::thread in place of OpenMP). No mutation has been planted yet.
#include "attend/base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/threads.h"

namespace attend {
namespace {

using test::WithThreads;

TEST(Threads, EveryIndexExactlyOnce) {
  for (const int threads : {1, 2, 3, 8})
    for (const int n : {0, 1, 2, 3, 7, 1000}) {
      const WithThreads with(threads);
      std::vector<int> runs(
          static_cast<std::size_t>(n));  // plain ints: two runs of one index would be a race
      parallel_run(n, [&](int i) { ++runs.at(static_cast<std::size_t>(i)); });
      EXPECT_EQ(runs, std::vector<int>(static_cast<std::size_t>(n), 1))
          << threads << " threads, n " << n;
    }
}

TEST(Threads, EverythingIsDoneOnReturn) {
  const WithThreads with(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> out(30, -1);
    parallel_run(30, [&](int i) { out[static_cast<std::size_t>(i)] = i * round; });
    for (int i = 0; i < 30; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], i * round);
  }
}

TEST(Threads, UsesAsManyThreadsAsSaidAndNoMore) {
  for (const int threads : {1, 2, 3}) {
    const WithThreads with(threads);
    EXPECT_EQ(attend::threads(), threads);
    for (int again = 0; again < 2; ++again) {
      std::mutex mutex;
      std::set<std::thread::id> ids;
      parallel_run(12, [&](int) {
        const std::lock_guard<std::mutex> lock(mutex);
        ids.insert(std::this_thread::get_id());
      });
      EXPECT_EQ(ids.size(), static_cast<std::size_t>(threads));
    }
  }
  set_threads(0);
  EXPECT_GE(attend::threads(), 1);
}

TEST(Threads, AWorkerBeginsWithTheTaskOfItsNumber) {
  const WithThreads with(3);
  std::vector<std::thread::id> first(3), again(3);
  parallel_run(3, [&](int i) { first[static_cast<std::size_t>(i)] = std::this_thread::get_id(); });
  parallel_run(3, [&](int i) { again[static_cast<std::size_t>(i)] = std::this_thread::get_id(); });
  EXPECT_EQ(first[0], std::this_thread::get_id());
  EXPECT_EQ(again[0], std::this_thread::get_id());
  EXPECT_EQ(std::set<std::thread::id>(again.begin(), again.end()).size(), 3u);
}

// Task 0 ends only when all others are done, which its worker can't do.
TEST(Threads, AWorkerHeldUpHoldsNobodyUp) {
  const WithThreads with(2);
  std::atomic<int> done{0};
  parallel_run(10, [&](int i) {
    if (i > 0) {
      ++done;
      return;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (done < 9 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  });
  EXPECT_EQ(done, 9);
}

TEST(Threads, AnExceptionComesBackAfterAllWorkersStopped) {
  for (const int threads : {1, 2, 3}) {
    const WithThreads with(threads);
    std::atomic<int> running{0};
    for (const int bad : {0, 1, 11}) {
      try {
        parallel_run(12, [&](int i) {
          ++running;
          struct Leave {
            std::atomic<int>& n;
            ~Leave() { --n; }
          } leave{running};
          if (i == bad) throw std::runtime_error("task " + std::to_string(i));
        });
        ADD_FAILURE() << "no exception";
      } catch (const std::runtime_error& e) {
        EXPECT_EQ(std::string(e.what()), "task " + std::to_string(bad));
      }
      EXPECT_EQ(running, 0);
    }
    // every task throws: one of them arrives, and the next run is sound
    EXPECT_THROW(parallel_run(12, [](int) { throw std::runtime_error("all"); }),
                 std::runtime_error);
    std::atomic<int> sum{0};
    parallel_run(12, [&](int i) { sum += i; });
    EXPECT_EQ(sum, 66);
  }
}

TEST(Threads, NestedCallsRunInTheCallersThread) {
  const WithThreads with(2);
  std::atomic<int> runs{0}, strays{0};
  parallel_run(4, [&](int) {
    const auto outer = std::this_thread::get_id();
    parallel_run(5, [&](int) {
      ++runs;
      if (std::this_thread::get_id() != outer) ++strays;
    });
  });
  EXPECT_EQ(runs, 20);
  EXPECT_EQ(strays, 0);
}

TEST(Threads, ConcurrentCallers) {
  const WithThreads with(2);
  std::vector<std::thread> callers;
  std::vector<int> sums(4);
  for (std::size_t k = 0; k < 4; ++k)
    callers.emplace_back([&, k] {
      for (int round = 0; round < 20; ++round) {
        std::vector<int> out(10);
        parallel_run(10, [&](int i) { out[static_cast<std::size_t>(i)] = i; });
        for (const int x : out) sums[k] += x;
      }
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sums, std::vector<int>(4, 20 * 45));
}

}  // namespace
}  // namespace attend
