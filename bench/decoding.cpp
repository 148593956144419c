// attend_decoding: one Transformer with random weights, asked to translate by bench/peers/decoding.py, line after line.
//   attend_decoding WEIGHTS.safetensors   builds the model, writes its weights there, then answers on standard input:
//   {"beam": 1, "steps": 15, "seconds": 0.5, "precision": "float32", "threads": 2, "sources": [[5, 6, …], …]}
// by {"ms": median of whole translations, "runs": how many, "hypotheses": tokens and score of the first, best first,
//  "peak_gflops": of the multipliers in float32 on so many threads, "read_gbps": of reading memory as large as the weights}.
// What is timed is what `attend predict` does between reading ids and writing ids: models::TranslatorSteps under decode::greedy
// or decode::beam_search, the encoder included. Every sentence takes `steps` steps of the model: min_length = max_length =
// steps − 1 tokens, then the end.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "attend/base/random.h"
#include "attend/base/threads.h"
#include "attend/decode/search.h"
#include "attend/interop/safetensors.h"
#include "attend/models/translator_steps.h"
#include "attend/ops/machine.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

std::unique_ptr<models::Translator> random_translator(const models::TranslatorConfig& config) {
  auto translator = models::make_translator(config, 1);
  const at::NoGradGuard off;
  Random random(1, Purpose::kGenerate);
  for (auto& [name, parameter] : translator->parameters()) {
    if (parameter.dim() != 1)
      continue;  // biases and norms begin as 0 and 1: make all of them count
    float* values = at::Tensor(parameter).mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < parameter.numel(); ++i)
      values[i] += static_cast<float>(0.1 * random.normal());
  }
  return translator;
}

void save(models::Translator& translator, const std::string& path) {
  interop::SafetensorsFile file;
  file.tensors = translator.parameters();
  std::ofstream(path, std::ios::binary) << interop::safetensors_bytes(file);
}

struct Job {
  explicit Job(const Json& wanted)
      : sources(wanted.at("sources").get<std::vector<Ids>>()), beam(wanted.at("beam")) {
    options.forbidden.clear();
    options.min_length = options.max_length = wanted.at("steps").get<std::int64_t>() - 1;
  }

  decode::Hypotheses run(models::Translator& translator) const {
    const auto rows = static_cast<std::int64_t>(sources.size()),
               length = static_cast<std::int64_t>(sources.front().size());
    const at::Tensor source = at::empty({rows, length}, at::kLong),
                     lengths = at::empty({rows}, at::kLong);
    for (std::int64_t i = 0; i < rows; ++i)
      std::copy_n(sources[static_cast<std::size_t>(i)].begin(), length,
                  source.mutable_data_ptr<std::int64_t>() + i * length);
    std::fill_n(lengths.mutable_data_ptr<std::int64_t>(), rows, length);
    models::TranslatorSteps steps(translator, source, lengths);
    if (beam == 1) return decode::greedy(steps, options);
    return decode::beam_search(steps, options, {.beam = beam, .best = beam});
  }

  std::vector<Ids> sources;  // of one length
  std::int64_t beam;
  decode::SearchOptions options;
};

/// How fast so many threads read as many bytes as the weights hold, over and over, in 10⁹ bytes a second.
double read_gbps(std::int64_t bytes) {
  const std::vector<std::uint64_t> memory(static_cast<std::size_t>(bytes) / 8, 1);
  const std::int64_t parts = threads(),
                     each = static_cast<std::int64_t>(memory.size()) / parts / 8 * 8;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(parts) * 8);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    parallel_run(static_cast<int>(parts), [&](int i) {
      std::uint64_t sum[8] = {};
      const std::uint64_t* const first = memory.data() + i * each;
      for (std::int64_t k = 0; k < each; k += 8)
        for (int l = 0; l < 8; ++l) sum[l] += first[k + l];
      std::copy_n(sum, 8, &sums[static_cast<std::size_t>(i) * 8]);
    });
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(each * parts * 8) / taken.count() / 1e9);
  }
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) > 0 ? best : 0;
}

Json answer(models::Translator& translator, const Json& wanted) {
  use_threads(wanted.at("threads"));
  const bool int8 = wanted.at("precision") == "int8";
  translator.prepare(int8 ? Precision::kInt8 : Precision::kFloat32);
  const Job job(wanted);
  Json found = Json::array();
  for (const auto& hypotheses : job.run(translator)) {
    Json one = Json::array();
    for (const auto& h : hypotheses)
      one.push_back({{"tokens", h.tokens}, {"log_probability", h.log_probability}});
    found.push_back(one);
  }
  using Clock = std::chrono::steady_clock;
  std::vector<double> taken;
  const auto end = Clock::now() + std::chrono::duration<double>(wanted.at("seconds").get<double>());
  while (taken.size() < 3 || Clock::now() < end) {
    const auto start = Clock::now();
    job.run(translator);
    taken.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::nth_element(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(taken.size() / 2),
                   taken.end());
  std::int64_t weights = 0;
  for (const auto& [name, parameter] : translator.parameters()) weights += parameter.numel();
  return {{"ms", taken[taken.size() / 2]},
          {"runs", taken.size()},
          {"hypotheses", found},
          {"peak_gflops", fma_gflops(Dtype::kFloat, threads())},
          {"read_gbps", read_gbps(weights * (int8 ? 1 : 4))}};
}

int run(int argc, char** argv) {
  models::TranslatorConfig config;
  config.architecture = models::Architecture::kTransformer;
  config.source_vocabulary = config.target_vocabulary = 10000;
  config.embedding_width = 128, config.layers = 4, config.heads = 4, config.feed_forward = 512;
  std::string weights;
  bool norm_last = false;
  CLI::App app("decoding with random weights, for bench/peers/decoding.py");
  app.add_option("weights", weights)->required();
  app.add_option("--vocabulary", config.source_vocabulary);
  app.add_option("--width", config.embedding_width);
  app.add_option("--layers", config.layers);
  app.add_option("--heads", config.heads);
  app.add_option("--feed-forward", config.feed_forward);
  app.add_flag("--norm-last", norm_last);
  CLI11_PARSE(app, argc, argv);
  config.target_vocabulary = config.source_vocabulary;
  if (norm_last) config.norm = models::NormPlace::kLast;
  const auto translator = random_translator(config);
  save(*translator, weights);
  for (std::string line; std::getline(std::cin, line);)
    std::cout << answer(*translator, Json::parse(line)) << std::endl;
  return 0;
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) { return attend::bench::run(argc, argv); }
