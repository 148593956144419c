#include "signals.h"

#include <csignal>
#include <cstdio>

#include "attend/train/trainer.h"

namespace attend::cli {
namespace {

std::atomic<int> g_stop{0};
static_assert(std::atomic<int>::is_always_lock_free);  // else not to be touched by a signal handler

extern "C" void note_signal(int signal) {
  g_stop = signal;
  std::signal(SIGINT, SIG_DFL);  // the second one kills
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

int stoppable(const std::function<int(const std::atomic<int>&)>& act) {
  struct sigaction action {};
  action.sa_handler = &note_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  try {
    return act(g_stop);
  } catch (const train::Interrupted& stopped) {
    std::fprintf(stderr, "attend: %s\n", stopped.what());
    return 128 + stopped.signal();
  }
}

}  // namespace attend::cli
