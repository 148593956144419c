#pragma once
#include <cstdint>
#include <optional>
#include <string>

/// Verbs of runs that draw images.
namespace attend::cli {

class Output;
struct ExplainOptions;

struct SampleOptions {
  std::string run, out;
  std::optional<std::uint64_t> count, seed;
};
/// `attend predict` of a generation run: a sheet of samples as one PNG file.
int predict_samples(Output& out, const SampleOptions& options);

struct EvaluateOptions {
  std::string run, data, split;
  std::optional<std::uint64_t> samples, images;
};
int evaluate_generation(Output& out, const EvaluateOptions& options);

/// `attend explain` of a generation run, options.words[0], and the image options.words[1].
int explain_drawing(Output& out, const ExplainOptions& options);

}  // namespace attend::cli
