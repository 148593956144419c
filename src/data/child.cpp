#include "data/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "attend/base/error.h"

extern char** environ;

namespace attend::data {

namespace fs = std::filesystem;

int run_child(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int error = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return 127;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string find_python(const std::string& log) {
  constexpr char kMend[] =
      "install python3 and python3-venv (or python3-pip), or set ATTEND_PYTHON";
  const auto has_pip = [&](const std::string& python) {
    return run_child({python, "-m", "pip", "--version"}, log) == 0;
  };
  if (const char* asked = std::getenv("ATTEND_PYTHON"); asked != nullptr && *asked != '\0') {
    if (has_pip(asked)) return asked;
    fail_io(std::string("ATTEND_PYTHON=") + asked + " is not a Python with pip; " + kMend);
  }
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  constexpr int kLevels = 4;  // build/release/bin/attend lies three below .venv's folder
  for (int i = 0; i < kLevels && !folder.empty(); ++i, folder = folder.parent_path()) {
    const std::string python = (folder / ".venv/bin/python").string();
    if (fs::exists(python, error) && has_pip(python)) return python;
  }
  if (has_pip("python3")) return "python3";
  fail_io(std::string("no Python with pip on this machine; ") + kMend);
}

}  // namespace attend::data
