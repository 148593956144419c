#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend::interop {

struct WordVectors {
  std::int64_t width = 0;
  std::vector<std::string> words;
  at::Tensor vectors;         // [words,width] float
  std::int64_t lines = 0;     // vectors in the file, kept or not
  std::int64_t repeated = 0;  // words that came again; the first one counts
};

/// How much of a vocabulary the vectors cover.
struct Coverage {
  std::int64_t known = 0, vocabulary = 0;
  double share() const { return vocabulary == 0 ? 0.0 : double(known) / double(vocabulary); }
};

/// Reads word vectors as text: word2vec's (first line "count width") or GloVe's (no such line), one
/// word and its numbers a line, separated by spaces or tabs. A word may itself hold spaces (some of
/// GloVe's do): the last `width` fields are the numbers. Keeps only words in `wanted`, or all
/// when it is empty; memory follows what is kept, so a file of gigabytes is fine.
/// Throws kBadInput with file:line on a number that is not finite, too few fields, a NUL byte, a
/// line over 1 MiB, or a count in the first line that the file contradicts; kIo when it cannot be
/// read.
WordVectors read_word_vectors(const std::string& path, const std::vector<std::string>& wanted = {});

/// Copies vectors into the embedding table [V+1,E] in place: vocabulary[i] has row i + 1. A word
/// that has no vector keeps its row; a word that is not found as written is tried in lower case.
/// Throws kUsage when the widths differ.
Coverage fill_table(const at::Tensor& table, const std::vector<std::string>& vocabulary,
                    const WordVectors& vectors);

}  // namespace attend::interop
