#include "attend/interop/word_vectors.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <unordered_map>

#include "attend/base/error.h"
#include "interop/word_vectors_text.h"

namespace attend::interop {
namespace {

std::string lower_ascii(std::string word) {
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return word;
}

}  // namespace

WordVectors read_word_vectors(const std::string& path, const std::vector<std::string>& wanted) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) fail_io(path + ": cannot open: " + std::strerror(errno));
  WordVectorsText text = read_word_vectors_text(stream, path, wanted);
  WordVectors result;
  result.width = text.width;
  result.words = std::move(text.words);
  result.lines = text.lines;
  result.repeated = text.repeated;
  const auto rows = static_cast<std::int64_t>(result.words.size());
  result.vectors = at::empty({rows, result.width}, at::TensorOptions().dtype(at::kFloat));
  std::copy(text.values.begin(), text.values.end(), result.vectors.data_ptr<float>());
  return result;
}

Coverage fill_table(const at::Tensor& table, const std::vector<std::string>& vocabulary,
                    const WordVectors& vectors) {
  if (table.dim() != 2 || table.size(1) != vectors.width)
    fail_usage("the word vectors are " + std::to_string(vectors.width) +
               " wide but the embedding table is not: set model.embedding_width = " +
               std::to_string(vectors.width));
  if (table.size(0) < static_cast<std::int64_t>(vocabulary.size()) + 1)
    fail_usage("fill_table: " + std::to_string(vocabulary.size()) + " words for a table of " +
               std::to_string(table.size(0)) + " rows (row 0 is padding)");
  std::unordered_map<std::string, std::int64_t> row_of;
  for (std::size_t i = 0; i < vectors.words.size(); ++i)
    row_of.emplace(vectors.words[i], static_cast<std::int64_t>(i));
  const at::NoGradGuard no_grad;
  Coverage coverage;
  coverage.vocabulary = static_cast<std::int64_t>(vocabulary.size());
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    auto found = row_of.find(vocabulary[i]);
    if (found == row_of.end()) found = row_of.find(lower_ascii(vocabulary[i]));
    if (found == row_of.end()) continue;
    table.select(0, static_cast<std::int64_t>(i) + 1)
        .copy_(vectors.vectors.select(0, found->second));
    ++coverage.known;
  }
  return coverage;
}

}  // namespace attend::interop
