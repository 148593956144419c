// attend launch --nproc N -- train …: several processes of this program that train one model.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "attend/train/ranks.h"
#include "output.h"
#include "program.h"

extern char** environ;

namespace attend::cli {
namespace {

using LaunchClock = std::chrono::steady_clock;

/// Once a rank is lost, the others have this long: most of it is rank 0's, to write what it has.
constexpr std::chrono::milliseconds kGrace{4500};

struct LaunchArguments {
  std::optional<std::uint64_t> processes;
  std::vector<std::string> command;
};

/// One process, and how it ended.
struct LaunchedRank {
  pid_t pid = -1;
  std::optional<int> status;  // as waitpid gives it
  bool killed_here = false;

  bool failed() const { return status && *status != 0; }
  bool died() const { return status && WIFSIGNALED(*status) && !killed_here; }
};

/// torchrun's variables for one rank, in front of what the environment holds besides.
std::vector<std::string> rank_environment(int rank, int ranks, int port) {
  const std::string r = std::to_string(rank), n = std::to_string(ranks);
  std::vector<std::string> all{"RANK=" + r,
                               "LOCAL_RANK=" + r,
                               "WORLD_SIZE=" + n,
                               "LOCAL_WORLD_SIZE=" + n,
                               "MASTER_ADDR=127.0.0.1",
                               "MASTER_PORT=" + std::to_string(port),
                               "TORCHELASTIC_USE_AGENT_STORE=True",
                               "TORCHELASTIC_RESTART_COUNT=0"};
  const std::size_t own = all.size();
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string name = std::string(*e).substr(0, std::string(*e).find('=') + 1);
    const bool ours = std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(own),
                                  [&](const std::string& a) { return a.starts_with(name); });
    if (!ours) all.emplace_back(*e);
  }
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// The signals that the launcher waits for in place of being interrupted by them; as they were again when it is gone.
class WaitedSignals {
 public:
  WaitedSignals() {
    ::sigemptyset(&set_);
    for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCHLD}) ::sigaddset(&set_, s);
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~WaitedSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  WaitedSignals(const WaitedSignals&) = delete;
  WaitedSignals& operator=(const WaitedSignals&) = delete;
  const sigset_t& before() const { return before_; }

  /// The next one, or 0 when none has come for a while.
  int next() const {
    const timespec while_{0, 200'000'000};
    return std::max(0, ::sigtimedwait(&set_, nullptr, &while_));
  }

 private:
  sigset_t set_{}, before_{};
};

class Launch {
 public:
  Launch(int ranks, std::vector<std::string> command)
      : command_(std::move(command)), ranks_(static_cast<std::size_t>(ranks)) {
    for (int r = 0; r < ranks; ++r) start(r);
  }

  int run() {
    while (!all_ended()) {
      const int signal = signals_.next();
      if (signal == SIGTSTP)
        pause();
      else if (signal != 0 && signal != SIGCHLD)
        pass_on(signal);
      reap();
      if (until_ && LaunchClock::now() > *until_) kill_rest();
    }
    return tell();
  }

 private:
  /// Each has a process group of its own, so that Ctrl-C reaches it once, from here; it ends when this process is killed.
  void start(int rank) {
    std::vector<std::string> words = command_;
    words.insert(words.begin(), "attend");
    std::vector<std::string> variables =
        rank_environment(rank, static_cast<int>(ranks_.size()), store_.port());
    const std::vector<char*> argv = pointers_to(words), env = pointers_to(variables);
    const pid_t launcher = ::getpid(), pid = ::fork();
    if (pid < 0) {
      const int error = errno;
      kill_rest();
      fail_io("cannot start rank " + std::to_string(rank) + ": " + std::strerror(error));
    }
    if (pid == 0) {  // only what may be called between fork and exec
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (::getppid() != launcher) ::_exit(1);
      ::sigprocmask(SIG_SETMASK, &signals_.before(), nullptr);
      ::execve("/proc/self/exe", argv.data(), env.data());
      ::_exit(127);
    }
    ranks_[static_cast<std::size_t>(rank)].pid = pid;
  }

  bool all_ended() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [](const LaunchedRank& r) { return r.status.has_value(); });
  }

  void send(int signal) const {
    for (const LaunchedRank& rank : ranks_)
      if (!rank.status && rank.pid > 0) ::kill(rank.pid, signal);
  }

  void pass_on(int signal) {
    if (passed_on_ != 0) return kill_rest();  // the second one kills, as it does without launch
    passed_on_ = signal == SIGINT ? SIGINT : SIGTERM;
    send(passed_on_);
  }

  void pause() const {
    send(SIGSTOP);
    ::raise(SIGSTOP);
    send(SIGCONT);
  }

  void reap() {
    for (LaunchedRank& rank : ranks_) {
      int status = 0;
      if (rank.status || ::waitpid(rank.pid, &status, WNOHANG) != rank.pid) continue;
      rank.status = status;
      if (!rank.failed()) continue;
      if (!first_ || (rank.died() && !first_->died())) first_ = &rank;
      if (!until_) until_ = LaunchClock::now() + kGrace;
    }
  }

  void kill_rest() {
    for (LaunchedRank& rank : ranks_)
      if (!rank.status) rank.killed_here = true;
    send(SIGKILL);
    until_.reset();
  }

  /// What the ranks could not say themselves, and the exit status.
  int tell() const {
    if (first_ == nullptr) return 0;
    if (passed_on_ != 0) return 128 + passed_on_;
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      if (ranks_[r].killed_here)
        std::fprintf(stderr, "attend: rank %zu did not end by itself and was killed\n", r);
    if (!first_->died()) return WIFEXITED(*first_->status) ? WEXITSTATUS(*first_->status) : 1;
    const int n = static_cast<int>(ranks_.size());
    const char* signal = ::sigabbrev_np(WTERMSIG(*first_->status));
    throw Error(ErrorKind::kFailure, "rank " + std::to_string(first_ - ranks_.data()) + " of " +
                                         std::to_string(n) + " (process " +
                                         std::to_string(first_->pid) + ") was killed by SIG" +
                                         (signal == nullptr ? "?" : signal) +
                                         " and the others have ended; continue with: " +
                                         train::resume_command(run_of_command(), n));
  }

  std::string run_of_command() const {
    for (std::size_t i = 0; i + 1 < command_.size(); ++i)
      if (command_[i] == "--out" || command_[i] == "--resume") return command_[i + 1];
    return "RUN";
  }

  const std::vector<std::string> command_;
  WaitedSignals signals_;  // before the store, whose threads must not take them
  train::RankStore store_;
  std::vector<LaunchedRank> ranks_;
  const LaunchedRank* first_ =
      nullptr;  // that failed, one that died before one that gave up for it
  std::optional<LaunchClock::time_point> until_;
  int passed_on_ = 0;
};

}  // namespace

void add_launch(Program& program) {
  const auto o = std::make_shared<LaunchArguments>();
  const Verb verb =
      program.verb("launch", "Train one model with several processes of this machine");
  verb.number("--nproc", o->processes, 1, 1024,
              "processes (ranks); they share the cores, the rows of each step, and nothing else");
  verb.positionals("COMMAND", Kind::kText, o->command, Need::kRequired,
                   "after '--': train with its arguments");
  verb.example("attend launch --nproc 2 -- train translation/bahdanau --out runs/two");
  verb.example("attend launch --nproc 2 -- train --resume runs/two");
  verb.run([o](Output& out) {
    if (!o->processes) fail_usage("'attend launch' needs --nproc N, the number of processes");
    std::vector<std::string> command = o->command;
    if (command.front() != "train")
      fail_usage(
          "'attend launch' shares out a training: the command after '--' is 'train …', not '" +
          command.front() + "'");
    if (out.json()) command.emplace_back("--json");
    return Launch(static_cast<int>(*o->processes), command).run();
  });
}

}  // namespace attend::cli
