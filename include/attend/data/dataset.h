#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace attend::data {

/// One labelled text and where it came from.
struct Example {
  std::string text;           // valid UTF-8
  std::int64_t label = 0;     // index into Dataset::label_names
  std::string group;          // examples of one group belong in one split ("" = its own group)
  std::string file;           // source, for messages
  std::int64_t line = 0;      // 1-based
  std::vector<double> truth;  // generated data: 1 for each whitespace token that decides the
                              // label, else 0
};

/// A line that could not be used; never dropped without being counted here.
struct BadLine {
  std::string file;
  std::int64_t line = 0;
  std::string reason;
};

struct Dataset {
  std::string name;
  std::vector<std::string> label_names;  // {"negative","positive"} or what the file says
  std::vector<Example> examples;
  std::vector<BadLine> bad_lines;
  std::int64_t left_out = 0;       // rows that are well-formed but have no label, as a rating of
                                   // exactly 0; see `notes`
  std::vector<std::string> notes;  // one sentence each, for the reader of a report
};

/// A data set with the splits it came with; validation and test are empty when it has only one
/// part.
struct Corpus {
  Dataset train, validation, test;
};

}  // namespace attend::data
