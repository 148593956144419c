#include "report.h"

#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>

namespace attend::bench {
namespace {

using Json = nlohmann::ordered_json;

const char* name_of(Dtype dtype) { return dtype == Dtype::kFloat ? "float32" : "float64"; }

const char* name_of(Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return "forward";
    case Direction::kBackward:
      return "backward";
    case Direction::kForwardBackward:
      return "forward+backward";
  }
  return "";
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

double best_peak(Dtype dtype, int threads) {
  double best = 0;
  for (int i = 0; i < 100; ++i) best = std::max(best, fma_gflops(dtype, threads));
  return best;
}

Json number_or_null(double value, int digits) {
  if (!(value > 0)) return nullptr;
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

std::string shape_text(const Json& shape) {
  std::ostringstream out;
  for (const auto& [name, size] : shape.items())
    out << (out.tellp() > 0 ? " " : "") << name << size;
  return out.str();
}

std::string cell(const Json& value, int digits, double scale = 1, const char* unit = "") {
  if (value.is_null()) return "-";
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value.get<double>() * scale << unit;
  return out.str();
}

}  // namespace

Json describe_machine(int threads) {
  Json machine;
  machine["cpu"] = cpu_name();
  machine["cores"] = std::thread::hardware_concurrency();
  machine["fma_target"] = fma_target();
  machine["compiler"] = "g++ " __VERSION__;
  machine["libtorch"] = TORCH_VERSION;
  machine["peaks"] = Json::array();
  for (const Dtype dtype : {Dtype::kFloat, Dtype::kDouble})
    for (const int n : {1, threads}) {
      if (n == 1 && threads == 1 && machine["peaks"].size() % 2 == 1) continue;
      machine["peaks"].push_back(
          {{"dtype", name_of(dtype)}, {"threads", n}, {"gflops", std::round(best_peak(dtype, n))}});
    }
  return machine;
}

Json to_json(const Row& row) {
  Json shape = Json::object();
  for (const auto& [name, size] : row.what.shape) shape[name] = size;
  return {{"op", row.what.op},
          {"direction", name_of(row.what.direction)},
          {"shape", shape},
          {"dtype", name_of(row.what.dtype)},
          {"threads", row.threads},
          {"ours_ms", number_or_null(row.ours_ms, 5)},
          {"peer", row.what.peer},
          {"peer_ms", number_or_null(row.peer_ms, 5)},
          {"ratio", number_or_null(row.ratio, 3)},
          {"gflops", number_or_null(row.gflops, 2)},
          {"fraction_of_peak", number_or_null(row.fraction_of_peak, 4)},
          {"peak_gflops", number_or_null(row.peak_gflops, 1)},
          {"copy_gbps", number_or_null(row.copy_gbps, 1)},
          {"limit_ms", number_or_null(row.limit_ms, 5)},
          {"runs", row.runs},
          {"dropped_runs", row.dropped}};
}

std::string line_of(const Case& what) {
  std::string line = what.op + ' ' + name_of(what.direction) + ' ';
  for (const auto& [name, size] : what.shape) line += name + std::to_string(size) + ' ';
  return line + name_of(what.dtype);
}

void print_header(std::ostream& out) {
  out << std::left << std::setw(16) << "op" << std::setw(18) << "direction" << std::setw(36)
      << "shape" << std::setw(9) << "dtype" << std::right << std::setw(8) << "threads"
      << std::setw(12) << "ours ms" << std::setw(12) << "peer ms" << std::setw(8) << "ratio"
      << std::setw(10) << "GFLOP/s" << std::setw(8) << "peak" << std::setw(10) << "limit ms"
      << "  peer\n";
}

void print_row(std::ostream& out, const Json& row) {
  out << std::left << std::setw(16) << row.at("op").get<std::string>() << std::setw(18)
      << row.at("direction").get<std::string>() << std::setw(36) << shape_text(row.at("shape"))
      << std::setw(9) << row.at("dtype").get<std::string>() << std::right << std::setw(8)
      << row.at("threads").get<int>() << std::setw(12) << cell(row.at("ours_ms"), 3)
      << std::setw(12) << cell(row.at("peer_ms"), 3) << std::setw(8) << cell(row.at("ratio"), 2)
      << std::setw(10) << cell(row.at("gflops"), 1) << std::setw(8)
      << cell(row.at("fraction_of_peak"), 0, 100, " %") << std::setw(10)
      << cell(row.value("limit_ms", Json()), 3) << "  " << row.at("peer").get<std::string>()
      << std::endl;
}

}  // namespace attend::bench
