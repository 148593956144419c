// attend_bench [OP…]: measures every registered case side by side with its peer.
// docs/performance.md says how to read it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "harness.h"
#include "report.h"

namespace attend::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Request {
  std::vector<std::string> ops;
  std::string only;
  std::vector<int> threads;
  bool json = false, peers = false, list = false;
  Options options;
};

std::vector<Case> chosen_cases(const Request& request) {
  std::vector<Case> cases = all_cases();
  std::set<std::string> known;
  for (const Case& c : cases) known.insert(c.op);
  for (const std::string& op : request.ops)
    if (!known.contains(op)) {
      std::string names;
      for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
      throw CLI::ValidationError("no op '" + op + "'; there are: " + names);
    }
  if (!request.ops.empty())
    std::erase_if(cases, [&](const Case& c) {
      return std::ranges::find(request.ops, c.op) == request.ops.end();
    });
  if (!request.only.empty())
    std::erase_if(cases, [&](const Case& c) { return line_of(c) != request.only; });
  if (cases.empty())
    throw CLI::ValidationError("no case '" + request.only + "'; --list names them");
  return cases;
}

/// The rows of a script of bench/peers, which runs in that folder's own Python.
Json peer_rows(const std::string& script, const std::string& program) {
  const std::string folder = ATTEND_BENCH_FOLDER "/peers";
  const std::string command = "'" + folder + "/.venv/bin/python' '" + folder + "/" + script +
                              "' --json --program '" + program + "'";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
  std::string text;
  char block[4096];
  while (const std::size_t n = std::fread(block, 1, sizeof block, pipe)) text.append(block, n);
  if (pclose(pipe) != 0)
    throw std::runtime_error(script +
                             " failed (its message is above); bench/peers/README.md sets it up");
  return Json::parse(text).at("rows");
}

void run(const Request& request) {
  const std::vector<Case> cases = chosen_cases(request);
  if (request.list) {
    for (const Case& c : cases) std::cout << line_of(c) << '\n';
    return;
  }
  const int most = *std::ranges::max_element(request.threads);
  Json document = {{"machine", describe_machine(most)}, {"rows", Json::array()}};
  std::ostream& table = request.json ? std::cerr : std::cout;
  for (const Json& peak : document["machine"]["peaks"])
    table << "peak " << peak["dtype"].get<std::string>() << ", " << peak["threads"]
          << " threads: " << peak["gflops"].get<int>() << " GFLOP/s\n";
  print_header(table);
  const auto add = [&](Json row) {
    print_row(table, row);
    document["rows"].push_back(std::move(row));
  };
  for (const Case& c : cases)
    for (const int threads : request.threads) {
      Options options = request.options;
      options.threads = threads;
      add(to_json(measure(c, options)));
    }
  if (request.peers) {
    const char* program = std::getenv("ATTEND_PROGRAM");
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    for (Json& row : peer_rows("attention.py", self)) add(std::move(row));
    for (Json& row : peer_rows("decoding.py", self)) add(std::move(row));
    for (Json& row : peer_rows("compare.py", program ? program : ATTEND_BENCH_PROGRAM))
      add(std::move(row));
  }
  if (request.json) std::cout << document.dump(1) << std::endl;
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  attend::bench::Request request;
  CLI::App app{"Measures attend's kernels side by side with what else there is, in one process."};
  app.add_option("op", request.ops, "Only these ops (default: every one)");
  app.add_option("--threads", request.threads,
                 "Thread counts, comma-separated (default: every core)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1024));
  app.add_option("--alternations", request.options.alternations,
                 "Timed pairs of one case, at least")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--seconds", request.options.seconds, "Time for one case, at least")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--patience", request.options.patience,
                 "Seconds to wait for undisturbed runs before disturbed ones count too")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--json", request.json,
               "One JSON document on standard output; the table goes to standard error");
  app.add_flag(
      "--peers", request.peers,
      "onnxruntime, OpenVINO, CTranslate2 and whole processes of Keras too (bench/peers, minutes)");
  app.add_option("--case", request.only, "Only this one, as --list names it");
  app.add_flag("--list", request.list, "Name every case and stop");
  CLI11_PARSE(app, argc, argv);
  if (request.threads.empty())
    request.threads = {std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
  try {
    attend::bench::run(request);
  } catch (const CLI::Error& error) {
    std::cerr << "attend_bench: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "attend_bench: " << error.what() << '\n';
    return 1;
  }
}
