#pragma once
#include "attend/base/threads.h"

namespace attend::test {

/// set_threads(n) for the life of the object.
class WithThreads {
 public:
  explicit WithThreads(int n) { set_threads(n); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;
  ~WithThreads() { set_threads(0); }
};

}  // namespace attend::test
