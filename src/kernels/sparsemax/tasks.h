#pragma once
#include <algorithm>
#include <cstdint>

#include "attend/kernels/sparsemax.h"

namespace attend::kernels {

/// Parts into which the queries of forward are divided: a fixed number, so that the scratch does not grow with them.
template <class T>
std::int64_t sparsemax_tasks(const SparsemaxForward<T>& p) {
  return std::min<std::int64_t>(64, p.batch * p.heads * p.queries);
}

}  // namespace attend::kernels
