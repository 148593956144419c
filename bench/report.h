#pragma once
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "harness.h"

namespace attend::bench {

/// {"cpu", "cores", "fma_target", "compiler", "libtorch", "attend", "peaks": [{"dtype", "threads",
/// "gflops"}, …]}; the peaks are the best of 100 bursts each (the rows hold the median of the
/// bursts between their own runs).
nlohmann::ordered_json describe_machine(int threads);
nlohmann::ordered_json to_json(const Row& row);

/// "sdpa forward B8 H8 L32 D16 float32": names one case, as --list prints it and --case takes it.
std::string line_of(const Case& what);

/// One line; `header` prints the column names.
void print_header(std::ostream& out);
void print_row(std::ostream& out, const nlohmann::ordered_json& row);

}  // namespace attend::bench
