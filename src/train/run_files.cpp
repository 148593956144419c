#include "train/run_files.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/nearest.h"
#include "attend/interop/safetensors.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kRequired{"config.json",   "model.safetensors", "recipe.toml",
                                         "metrics.jsonl", "results.json",      "README.md"};

void check_exists(const std::string& path) {
  if (is_finished_run(path)) return;
  if (is_unfinished_run(path))
    fail_input(path + ": its training has not finished; continue it with attend train --resume " +
               path);
  if (fs::is_directory(path)) fail_input(path + ": not a run, SHA256SUMS is missing");
  std::vector<std::string> beside;
  const fs::path parent = fs::path(path).parent_path();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent.empty() ? "." : parent, ignored))
    if (is_finished_run(entry.path()))
      beside.push_back((parent / entry.path().filename()).string());
  fail_usage("no run '" + path + "'" + did_you_mean(path, beside));
}

void expect_listed(const std::vector<std::string>& listed, const std::string& name,
                   const std::string& path) {
  if (std::find(listed.begin(), listed.end(), name) == listed.end())
    fail_input(path + "/SHA256SUMS: lists no " + name);
}

/// Compares every file with SHA256SUMS and returns their names. Names that lead out of the folder are refused.
std::vector<std::string> check_sums(const std::string& path) {
  const std::string sums_path = path + "/SHA256SUMS", sums = read_file(sums_path);
  std::vector<std::string> listed;
  if (!sums.ends_with('\n')) fail_input(sums_path + ": its end is missing");
  std::size_t begin = 0;
  while (begin < sums.size()) {
    const std::size_t end = std::min(sums.find('\n', begin), sums.size());
    const std::string line = sums.substr(begin, end - begin);
    begin = end + 1;
    const std::string name = line.size() > 66 ? line.substr(66) : "";
    if (name.empty() || line.compare(64, 2, "  ") != 0 || name.find('/') != std::string::npos)
      fail_input(sums_path + ":" + std::to_string(listed.size() + 1) +
                 ": expected a SHA-256, two spaces and a file's name");
    if (!fs::is_regular_file(path + "/" + name))
      fail_input(path + "/" + name +
                 ": is listed in SHA256SUMS but missing; restore the file or train again");
    if (sha256_of_file(path + "/" + name) != line.substr(0, 64))
      fail_input(path + "/" + name +
                 ": its bytes are not those that were written (SHA-256 differs); "
                 "restore the file or train again");
    listed.push_back(name);
  }
  for (const std::string& name : kRequired) expect_listed(listed, name, path);
  return listed;
}

}  // namespace

void load_parameters(const models::NamedTensors& parameters, const std::string& path) {
  const interop::SafetensorsFile file = interop::read_safetensors(path);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters) {
    const at::Tensor* source = nullptr;
    for (const auto& [other, candidate] : file.tensors)
      if (other == name) source = &candidate;
    if (source == nullptr) fail_input(path + ": tensor '" + name + "' is missing");
    if (source->sizes() != tensor.sizes() || source->scalar_type() != tensor.scalar_type())
      fail_input(path + ": tensor '" + name + "' has another shape or type than config.json says");
    at::Tensor(tensor).copy_(*source);
  }
  if (file.tensors.size() != parameters.size())
    fail_input(path + ": holds " + std::to_string(file.tensors.size()) +
               " tensors, the model has " + std::to_string(parameters.size()));
}

RunFiles open_run(const std::string& given, TaskKind kind) {
  RunFiles run;
  run.path = given;
  while (run.path.size() > 1 && run.path.back() == '/') run.path.pop_back();
  check_exists(run.path);
  const std::vector<std::string> listed = check_sums(run.path);
  run.recipe = read_made_recipe(run.path).recipe;
  if (run.recipe.task.kind != TaskKind::kGeneration)
    expect_listed(listed, "tokenizer.json", run.path);
  const std::string history = run.path + "/metrics.jsonl";
  run.history = read_history(read_file(history), history);
  run.result = read_result(run.path);
  if (run.recipe.task.kind != kind)
    fail_input(run.path + ": a " + task_name(run.recipe.task.kind) + " run, and this is for " +
               task_name(kind));
  return run;
}

TaskKind kind_of_run(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  check_exists(path);
  try {
    return read_made_recipe(path).recipe.task.kind;
  } catch (const Error&) {
    check_sums(path);  // what is wrong with the folder says more than what its recipe fails to be
    throw;
  }
}

}  // namespace attend::train
