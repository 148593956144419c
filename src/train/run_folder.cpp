#include "train/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/safetensors.h"
#include "attend/ops/machine.h"
#include "train/checkpoint.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;

constexpr char kSums[] = "SHA256SUMS";

[[noreturn]] void fail_making(const std::string& path, const std::error_code& error) {
  fail_io(path + ": cannot make the folder: " + error.message());
}

void refuse_occupied(const std::string& out) {
  if (!fs::exists(out)) return;
  if (!fs::is_directory(out)) fail_usage(out + " is a file; --out needs a folder");
  if (is_finished_run(out)) fail_usage(out + " is a finished run; take another --out");
  if (is_unfinished_run(out))
    fail_usage(out + " is an unfinished run: continue it with attend train --resume " + out);
  if (!fs::is_empty(out)) fail_usage(out + " is not empty; take another --out");
}

std::string now() {
  const std::time_t t = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&t, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string made_table(const Recipe& recipe, int threads, int ranks) {
  const Machine m = machine();
  return "\n[made]   # by this training; not read back\nrecipe = " + to_text(recipe.name) +
         "\nseed = " + std::to_string(recipe.train.seed) +
         "\nattend = \"" ATTEND_VERSION "\"\ntorch = " + to_text(m.torch_version) +
         "\ncpu = " + to_text(m.cpu) + "\ncores = " + std::to_string(m.cores) +
         "\nsimd = " + to_text(m.simd_target) + "\nthreads = " + std::to_string(threads) +
         (ranks > 1 ? "\nranks = " + std::to_string(ranks) : "") + "\nbegun = " + to_text(now()) +
         "\n";
}

}  // namespace

std::string folder_name(const std::string& recipe) {
  std::string name = recipe;
  if (name.ends_with(".toml")) name = fs::path(name).stem();
  for (char& c : name)
    if (c == '/') c = '-';
  return name.empty() ? "run" : name;
}

std::string claim_free_folder(const std::string& name) {
  std::error_code error;
  fs::create_directories("runs", error);
  if (error) fail_making("runs", error);
  for (int k = 1;; ++k) {
    const std::string path = "runs/" + name + "-" + std::to_string(k);
    if (fs::create_directory(path, error))
      return path;  // false when it exists: another process may be quicker
    if (error) fail_making(path, error);
  }
}

bool is_finished_run(const std::string& path) {
  return fs::is_regular_file(fs::path(path) / kSums);
}

bool is_unfinished_run(const std::string& path) {
  return !is_finished_run(path) && fs::is_directory(fs::path(path) / "checkpoints") &&
         fs::is_regular_file(fs::path(path) / "recipe.toml");
}

RunFolder RunFolder::create(const std::string& out, const Recipe& recipe, int threads, int ranks) {
  std::string path = out;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  bool made_here = true;
  if (path.empty()) {
    path = claim_free_folder(folder_name(recipe.name));
  } else {
    refuse_occupied(path);
    made_here = !fs::exists(path);
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail_making(path, error);
  }
  RunFolder folder(path);
  try {
    std::error_code error;
    fs::create_directory(folder.checkpoints(), error);
    if (error) fail_making(folder.checkpoints(), error);
    write_file_atomically(folder.file("recipe.toml"),
                          to_toml(recipe) + made_table(recipe, threads, ranks));
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove(folder.checkpoints(), ignored);
    if (made_here) fs::remove(path, ignored);
    throw;
  }
  return folder;
}

void RunFolder::append_history(const EpochRecord& record) const {
  const std::string path = file("metrics.jsonl"), line = to_json_line(record) + "\n";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) fail_io(path + ": cannot open: " + std::strerror(errno));
  const off_t before = ::lseek(fd, 0, SEEK_END);
  const ssize_t n = ::write(fd, line.data(), line.size());
  const int error = errno;
  if (n != static_cast<ssize_t>(line.size())) {
    [[maybe_unused]] const int undone = ::ftruncate(fd, before);  // no half line
    ::close(fd);
    fail_io(path + ": cannot write: " + (n < 0 ? std::strerror(error) : "the disk is full"));
  }
  ::close(fd);
}

void RunFolder::rewrite_history(const std::vector<EpochRecord>& history) const {
  std::string lines;
  for (const EpochRecord& record : history) lines += to_json_line(record) + "\n";
  write_file_atomically(file("metrics.jsonl"), lines);
}

void RunFolder::finish(const models::NamedTensors& parameters,
                       const std::vector<std::pair<std::string, std::string>>& files,
                       const Recipe& recipe, const TrainResult& result,
                       const std::vector<EpochRecord>& history) const {
  std::string lines;
  for (const EpochRecord& record : history) lines += to_json_line(record) + "\n";
  interop::SafetensorsFile weights;
  weights.tensors = parameters;
  weights.metadata = {{"format", "pt"}};
  auto all = files;
  all.emplace_back("model.safetensors", interop::safetensors_bytes(weights));
  all.emplace_back("README.md", model_card(recipe, result));
  all.emplace_back("results.json", to_json(result) + "\n");
  all.emplace_back("metrics.jsonl", lines);
  std::string sums;
  std::vector<std::string> written;
  try {
    for (const auto& [name, bytes] : all) {
      write_file_atomically(file(name), bytes);
      if (name != "metrics.jsonl") written.push_back(name);
      sums += sha256(bytes) + "  " + name + "\n";
    }
    sums += sha256_of_file(file("recipe.toml")) + "  recipe.toml\n";
    write_file_atomically(file(kSums), sums);
  } catch (const Error&) {
    std::error_code ignored;
    for (const std::string& name : written) fs::remove(file(name), ignored);
    throw;
  }
}

MadeRecipe read_made_recipe(const std::string& run) {
  const std::string path = run + "/recipe.toml", text = read_file(path);
  MadeRecipe out{parse_recipe(text, path, path), read_made(text, path)};
  if (const auto name = out.made.find("recipe"); name != out.made.end())
    out.recipe.name = name->second;
  return out;
}

}  // namespace attend::train
