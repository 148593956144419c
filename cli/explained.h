#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/data/dataset.h"
#include "attend/explain/sentiment.h"
#include "attend/train/run.h"
#include "attend/viz/report.h"

/// From run folders and sentences to what viz draws.
namespace attend::cli {

/// Runs of one system that differ in their seed alone.
struct System {
  std::string name;  // "LSTM 100, attention pooling"
  std::vector<train::Run> runs;
  std::vector<models::Classifier*> classifiers() const;
  const train::Run& first() const { return runs.front(); }
};

/// Loads runs (a folder of seed-N runs stands for all of them) and sorts them into systems: those without attention
/// first, the one to be explained last. Throws kUsage when runs of one system have different vocabularies or labels.
std::vector<System> load_systems(const std::vector<std::string>& folders);

/// Sentences to explain; a row without a label has −1.
struct Rows {
  std::string data, part;  // as evaluate names them; empty for sentences of the command line
  std::vector<data::Example> examples;
  std::vector<std::int64_t> ids;  // place of each in the data, from 1
};

std::vector<explain::Input> inputs_of(const train::Run& run,
                                      const std::vector<data::Example>& examples);
explain::Options options_of(const train::Run& run);

/// At most `count` places, half of them wrong answers as far as there are any, evenly over the rows; ascending.
std::vector<std::size_t> choose(const std::vector<explain::SentenceExplanation>& explanations,
                                std::size_t count);

viz::Sentence sentence_of(const explain::SentenceExplanation& explanation, std::int64_t id);

/// The whole report: comparison over seeds, figures of the data part, and the chosen sentences.
viz::SentimentReport report_of(const std::vector<System>& systems, const Rows& rows,
                               const std::vector<explain::SentenceExplanation>& explanations,
                               const std::vector<std::size_t>& chosen);

}  // namespace attend::cli
