#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "attend/models/decoding.h"
#include "attend/models/step_model.h"

namespace attend::models {

/// A model that decodes a grid of sources × hypotheses, as the searches of attend/decode/search.h drive it. They know rows in
/// any number for each source; in a grid the hypotheses of a source share what is known of it. Sources without rows are
/// dropped once a quarter of the grid is empty.
class GridSteps : public StepModel {
 public:
  void start() final;
  StepResult step(const at::Tensor& tokens, const at::Tensor& parents) final;

 protected:
  virtual Decoding begin() = 0;  // all sources, K = 1
  /// Puts tokens [B,K] int64 behind the hypotheses and predicts what follows.
  virtual DecodingStep advance(Decoding& decoding, const at::Tensor& tokens) = 0;

 private:
  struct Place {
    std::int64_t source = 0;  // row of the grid
    std::int64_t slot = 0;    // column
  };
  void keep_sources(const std::vector<std::int64_t>& kept);

  bool at_start_ = false;  // begun, and no step taken: nothing to do again
  Decoding decoding_;
  std::int64_t grid_ = 0, width_ = 0;  // sources × hypotheses of the last step
  std::vector<Place> places_;          // of the last step's rows
};

}  // namespace attend::models
