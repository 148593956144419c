#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace attend::bench {

enum class Dtype { kFloat, kDouble };
enum class Direction { kForward, kBackward, kForwardBackward };

/// Both sides of one comparison, ready to be called: each call does the whole work once and keeps
/// nothing that grows.
struct Runs {
  std::function<void()> ours;
  std::function<void()> peer;
};

/// One row of the table.
struct Case {
  std::string op;  // "lstm": what a command line selects
  Direction direction = Direction::kForwardBackward;
  std::vector<std::pair<std::string, std::int64_t>> shape;  // {{"B", 100}, …} in the order to print
  Dtype dtype = Dtype::kFloat;
  std::string peer;               // "libtorch", "composition"
  double flops = 0;               // of one call of ours; 0: not bound by arithmetic, not shown
  std::function<Runs()> prepare;  // allocates and fills; called once, just before measuring
  double bytes = 0;               // that one call must read and write at least once; 0: not shown
};

/// A file NAME_bench.cpp offers its cases by one object of this type at namespace scope:
///   const Registration kRegistration{[] { return std::vector<Case>{…}; }};
/// How to add an op: see bench/lstm_bench.cpp.
struct Registration {
  explicit Registration(std::function<std::vector<Case>()> cases);
};
std::vector<Case> all_cases();

struct Options {
  int threads = 0;        // 0: every core
  int alternations = 15;  // at least this many timed pairs
  double seconds = 2.0;   // and as many as fit into this time (for one case)
  double patience =
      8.0;  // seconds to wait for undisturbed runs before the disturbed ones are used too
};

/// Medians over runs that alternate ours, peer, ours, peer …; a run during which the kernel took
/// the processor away from one of our threads (getrusage: involuntary context switches) is dropped
/// as long as `alternations` clean ones remain.
struct Row {
  Case what;
  int threads = 1;
  double ours_ms = 0, peer_ms = 0;
  double ratio = 0;        // peer_ms / ours_ms
  double gflops = 0;       // 0: not shown
  double peak_gflops = 0;  // best of the bursts measured between the runs of this case
  double fraction_of_peak = 0;
  double copy_gbps = 0;       // of a plain copy that moves Case::bytes, measured like the peak
  double limit_ms = 0;        // roofline: the longer of flops / peak and bytes / copy; 0: not shown
  int runs = 0, dropped = 0;  // timed pairs used, and thrown away
};
Row measure(const Case& what, const Options& options);

/// What the machine's multiply-add units give at best on `threads` threads, in GFLOP/s (a fused
/// multiply-add counts two): independent chains in registers, no memory. Takes about 1 ms.
double fma_gflops(Dtype dtype, int threads);
/// Moves memory between two arrays of bytes/2 each on `threads` threads; the arrays are kept.
/// Reading and writing both count, so the figure is comparable with Case::bytes of a kernel.
class CopyProbe {
 public:
  CopyProbe(double bytes, int threads);
  double seconds();  ///< of one copy

 private:
  int threads_;
  std::vector<float> from_, to_;
};

/// The vector path fma_gflops chose at run time, e.g. "AVX3".
std::string fma_target();

}  // namespace attend::bench
