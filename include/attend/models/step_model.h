#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend::models {

/// What a model says after one more token.
struct StepResult {
  at::Tensor log_probabilities;  // [R,V] float or double, on the CPU: log p(next token | row so
                                 // far); the search may write into it
  at::Tensor attention;  // [R,Lk] over the source, rows sum to 1 (0 on padding); or undefined
};

/// A model that writes token by token, as the searches of attend/decode/search.h drive it. One
/// object stands for one batch of B sources, given where it is made (so that translation, captions
/// and language models share this interface); encoder results and caches are its own affair.
///
///   start();                                   forgets all rows; sources 0…B−1 remain
///   step(tokens [R], parents [R])              R new rows, any number
///
/// Row r appends tokens[r] to what row parents[r] of the step before holds; in the first step after
/// start parents[r] is a source 0…B−1 and tokens[r] the begin-of-sentence id. Parents may repeat
/// (a beam that splits), be left out (one that ended) and come in any order; rows of one source
/// stay in ascending order of sources. So keys of the source can be shared between its rows, and a
/// cache is one index_select. A row's result must depend on nothing but its source and its tokens.
class StepModel {
 public:
  virtual ~StepModel() = default;
  virtual std::int64_t sources() const = 0;     // B
  virtual std::int64_t vocabulary() const = 0;  // V
  virtual void start() = 0;
  virtual StepResult step(const at::Tensor& tokens, const at::Tensor& parents) = 0;  // int64, CPU
};

}  // namespace attend::models
