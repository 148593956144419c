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

void work(int worker, int workers, int n, const std::function<void(int)>& task) {
  t_inside = true;
  struct Leave {
    ~Leave() { t_inside = false; }
  } leave;
  for (int i = worker; i < n; i += workers) task(i);
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
#ifdef _OPENMP
  // OpenMP may grant fewer threads than asked for; the stride follows what it granted.
#pragma omp parallel num_threads(workers)
  error.guard([&] { work(omp_get_thread_num(), omp_get_num_threads(), n, task); });
#else
  std::vector<std::thread> pool;
  for (int w = 1; w < workers; ++w)
    pool.emplace_back([&, w] { error.guard([&] { work(w, workers, n, task); }); });
  error.guard([&] { work(0, workers, n, task); });
  for (auto& thread : pool) thread.join();
#endif
  error.rethrow();
}

}  // namespace attend
