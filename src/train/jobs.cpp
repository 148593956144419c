#include "train/jobs.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "data/json.h"
#include "train/run_folder.h"

extern char** environ;

namespace attend::train {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const Job& job, const std::string& out) {
  return out + "/" + recipe_hash(job.recipe).substr(0, 12) + "-" +
         std::to_string(job.recipe.train.seed);
}

nlohmann::json value_json(const Value& value) {
  return std::visit([](const auto& v) { return nlohmann::json(v); }, value);
}

/// Failures of earlier calls, by run.
std::map<std::string, std::string> known_failures(const std::string& out) {
  std::map<std::string, std::string> failures;
  const std::string path = out + "/sweep.jsonl";
  if (!fs::exists(path)) return failures;
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {  // a cut last line is skipped
    const nlohmann::json line = data::parse_json(text.substr(begin, end - begin), path);
    if (line.is_object() && line.contains("failure") && line["failure"].is_string() &&
        line.contains("run"))
      failures[line["run"].get<std::string>()] = line["failure"].get<std::string>();
  }
  return failures;
}

/// A child process that runs `attend train`; its standard error is kept in a file beside its folder.
class Child {
 public:
  Child(const std::string& program, const std::vector<std::string>& arguments, std::string log)
      : log_(std::move(log)) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const int error = ::posix_spawn(&pid_, program.c_str(), &files, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) fail_io(program + ": cannot start: " + std::strerror(error));
  }

  /// True when it has ended; `status` is then as a shell shows it.
  bool ended(int& status) {
    int raw = 0;
    if (::waitpid(pid_, &raw, WNOHANG) != pid_) return false;
    status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return true;
  }
  void stop(int signal) const { ::kill(pid_, signal); }
  void wait() const { ::waitpid(pid_, nullptr, 0); }

  std::string last_words() const {
    std::string text = read_file(log_);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto at = text.rfind('\n');
    return at == std::string::npos ? text : text.substr(at + 1);
  }
  void remove_log() const { ::unlink(log_.c_str()); }

 private:
  pid_t pid_ = -1;
  std::string log_;
};

class Runner {
 public:
  Runner(const std::vector<Job>& jobs, const SweepOptions& options, std::string out)
      : jobs_(jobs), options_(options), out_(std::move(out)), outcomes_(jobs.size()) {}

  std::vector<JobOutcome> run() {
    const auto failures = known_failures(out_);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      outcomes_[i].run = folder_of(jobs_[i], out_);
      const auto failed = failures.find(outcomes_[i].run);
      if (is_finished_run(outcomes_[i].run))
        outcomes_[i].result = read_result(outcomes_[i].run);
      else if (failed != failures.end())
        outcomes_[i].failure = failed->second;
      else
        open.push_back(i);
    }
    done_ = static_cast<std::int64_t>(jobs_.size() - open.size());
    if (options_.jobs > 1 && !options_.program.empty())
      run_children(open);
    else
      for (const std::size_t i : open) run_here(i);
    return std::move(outcomes_);
  }

 private:
  void check_stop() const {
    if (options_.stop != nullptr && options_.stop->load() != 0)
      throw Interrupted(options_.stop->load(), out_);
  }

  void run_here(std::size_t i) {
    check_stop();
    TrainOptions options;
    options.recipe = jobs_[i].recipe;
    options.threads = options_.threads;
    options.stop = options_.stop;
    if (is_unfinished_run(outcomes_[i].run)) {
      options.resume = outcomes_[i].run;
      options.threads = 0;
    } else {
      options.out = outcomes_[i].run;
    }
    try {
      outcomes_[i].result = train(options);
    } catch (const Interrupted& e) {
      throw Interrupted(e.signal(), out_);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kDiverged) throw;
      outcomes_[i].failure = e.what();
    }
    note(i);
  }

  std::vector<std::string> arguments(std::size_t i) const {
    const std::string& run = outcomes_[i].run;
    if (is_unfinished_run(run)) return {"train", "--json", "--resume", run};
    const std::string recipe = run + ".toml";
    write_file_atomically(recipe, to_toml(jobs_[i].recipe));
    return {"train", recipe, "--json", "--out", run, "--threads", std::to_string(options_.threads)};
  }

  void run_children(const std::vector<std::size_t>& open) {
    std::map<std::size_t, Child> running;
    std::size_t next = 0;
    try {
      while (next < open.size() || !running.empty()) {
        check_stop();
        while (next < open.size() && running.size() < static_cast<std::size_t>(options_.jobs)) {
          const std::size_t i = open[next++];
          running.emplace(i, Child(options_.program, arguments(i), outcomes_[i].run + ".log"));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        for (auto it = running.begin(); it != running.end();) {
          int status = 0;
          if (!it->second.ended(status)) {
            ++it;
            continue;
          }
          const std::size_t i = it->first;
          const Child child = it->second;
          it = running.erase(it);
          settle(i, status, child);
        }
      }
    } catch (const Error&) {  // the others write their checkpoints before we go
      const int signal =
          options_.stop != nullptr && options_.stop->load() != 0 ? options_.stop->load() : SIGTERM;
      for (const auto& [i, child] : running) child.stop(signal);
      for (const auto& [i, child] : running) child.wait();
      throw;
    }
  }

  void settle(std::size_t i, int status, const Child& child) {
    check_stop();
    JobOutcome& outcome = outcomes_[i];
    if (status == 0) {
      outcome.result = read_result(outcome.run);
    } else {
      std::string words = child.last_words();
      if (words.empty())
        words = outcome.run + ": attend train ended with status " + std::to_string(status);
      if (status != static_cast<int>(ErrorKind::kDiverged))
        throw Error(
            status >= 1 && status <= 4 ? static_cast<ErrorKind>(status) : ErrorKind::kFailure,
            words);
      outcome.failure = words;
    }
    child.remove_log();
    ::unlink((outcome.run + ".toml").c_str());
    note(i);
  }

  void note(std::size_t i) {
    const JobOutcome& outcome = outcomes_[i];
    nlohmann::ordered_json line;
    for (const auto& [key, value] : jobs_[i].settings) line["settings"][key] = value_json(value);
    line["seed"] = jobs_[i].recipe.train.seed;
    line["run"] = outcome.run;
    if (outcome.failure.empty())
      line["metrics"] = nlohmann::ordered_json::parse(to_json(outcome.result))["metrics"];
    else
      line["failure"] = outcome.failure;
    append(line.dump() + "\n");
    ++done_;
    if (options_.on_run)
      options_.on_run(jobs_[i].settings, done_, static_cast<std::int64_t>(jobs_.size()));
  }

  void append(const std::string& line) const {
    const std::string path = out_ + "/sweep.jsonl";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const bool written =
        fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    const int error = errno;
    if (fd >= 0) ::close(fd);
    if (!written) fail_io(path + ": cannot write: " + std::strerror(error));
  }

  const std::vector<Job>& jobs_;
  const SweepOptions& options_;
  const std::string out_;
  std::vector<JobOutcome> outcomes_;
  std::int64_t done_ = 0;
};

}  // namespace

std::string sweep_folder(const SweepOptions& options) {
  if (options.out.empty()) return claim_free_folder("sweep-" + folder_name(options.recipe.name));
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) fail_io(options.out + ": cannot make the folder: " + error.message());
  return options.out;
}

std::vector<JobOutcome> run_jobs(const std::vector<Job>& jobs, const SweepOptions& options,
                                 const std::string& out) {
  return Runner(jobs, options, out).run();
}

}  // namespace attend::train
