#pragma once
#include <functional>

namespace attend::cli {

/// Runs `program` and turns whatever it throws into one line on stderr and the exit status of the convention:
/// 0 ok, 1 failure, 2 usage, 3 bad input or model, 4 I/O or disk full, 5 diverged, 130/143 signals.
int guarded(const std::function<int()>& program) noexcept;

}  // namespace attend::cli
