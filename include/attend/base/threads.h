#pragma once
#include <cstdint>
#include <functional>

namespace attend {

/// Number of threads that parallel_run may use; 0 or less means all cores (the default). libtorch has a setting of its own.
void set_threads(int n);
int threads();

/// Runs task(i) for i in [0, n), each exactly once, on up to threads() threads; returns when all are done. A worker begins with
/// the task of its own number and then takes whichever is next, so results may depend on i but not on who runs it: then they
/// have the same bits on every run and with every thread count. An exception in a task is rethrown here after all workers have
/// stopped. Nested calls run serially. Cost: about 1 µs when the workers are warm.
void parallel_run(int n, const std::function<void(int)>& task);

}  // namespace attend
