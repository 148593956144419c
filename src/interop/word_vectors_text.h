#pragma once
#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace attend::interop {

/// What interop::read_word_vectors reads, as plain numbers.
struct WordVectorsText {
  std::int64_t width = 0;
  std::vector<std::string> words;
  std::vector<float> values;  // words × width
  std::int64_t lines = 0, repeated = 0;
};

/// See read_word_vectors; `path` is for messages.
WordVectorsText read_word_vectors_text(std::istream& stream, const std::string& path,
                                       const std::vector<std::string>& wanted);

}  // namespace attend::interop
