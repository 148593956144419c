#include "attend/base/threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace attend {
namespace {

std::atomic<int> g_threads{0};
thread_local bool t_inside = false;

/// Keeps the first exception of any worker, to be rethrown by the caller.
class FirstError {
 public:
  template <class F>
  void guard(F&& f) noexcept {
    try {
      f();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

/// A worker's first task is always the one of its number, so that what it left in its cache in one call is there in the next;
/// after that it takes whichever is next, so that none waits long for one that was held up.
void work(int worker, int workers, int n, std::atomic<int>& taken,
          const std::function<void(int)>& task) {
  t_inside = true;
  struct Leave {
    ~Leave() { t_inside = false; }
  } leave;
  for (int i = worker; i < n; i = workers + taken.fetch_add(1, std::memory_order_relaxed)) task(i);
}

}  // namespace

void set_threads(int n) { g_threads = n; }

int threads() {
  const int n = g_threads;
  return n > 0 ? n : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_run(int n, const std::function<void(int)>& task) {
  const int workers = t_inside ? 1 : std::min(n, threads());
  if (workers <= 1) {
    for (int i = 0; i < n; ++i) task(i);
    return;
  }
  FirstError error;
  std::atomic<int> taken{0};  // beyond the first task of each worker
#ifdef _OPENMP
  // OpenMP may grant fewer threads than asked for.
#pragma omp parallel num_threads(workers)
  error.guard([&] { work(omp_get_thread_num(), omp_get_num_threads(), n, taken, task); });
#else
  std::vector<std::thread> pool;
  for (int w = 1; w < workers; ++w)
    pool.emplace_back([&, w] { error.guard([&] { work(w, workers, n, taken, task); }); });
  error.guard([&] { work(0, workers, n, taken, task); });
  for (auto& thread : pool) thread.join();
#endif
  error.rethrow();
}

}  // namespace attend
