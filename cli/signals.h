#pragma once
#include <atomic>
#include <functional>

namespace attend::cli {

/// Runs `act` with a flag that SIGINT or SIGTERM sets to its number, so that the work can stop cleanly; a second signal
/// kills at once. train::Interrupted becomes a line on stderr and status 128 + signal.
int stoppable(const std::function<int(const std::atomic<int>& stop)>& act);

}  // namespace attend::cli
