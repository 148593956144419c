#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "attend/models/step_model.h"
#include "attend/models/translator.h"

namespace attend::models {

/// A translator as the searches of attend/decode/search.h drive it. They know rows in any number for each source; the
/// translator a grid of sources × hypotheses, so that hypotheses share what is known of their source. Sources without rows are
/// dropped once a quarter of the grid is empty. Holds a reference to the translator.
class TranslatorSteps final : public StepModel {
 public:
  /// source [B,S] int64, lengths [B].
  TranslatorSteps(Translator& translator, at::Tensor source, at::Tensor lengths);

  std::int64_t sources() const override { return source_.size(0); }
  std::int64_t vocabulary() const override { return translator_.config().target_vocabulary; }
  void start() override;
  StepResult step(const at::Tensor& tokens, const at::Tensor& parents) override;

 private:
  struct Place {
    std::int64_t source = 0;  // row of the grid
    std::int64_t slot = 0;    // column
  };
  void keep_sources(const std::vector<std::int64_t>& kept);

  Translator& translator_;
  const at::Tensor source_, lengths_;
  Decoding decoding_;
  std::int64_t grid_ = 0, width_ = 0;  // sources × hypotheses of the last step
  std::vector<Place> places_;          // of the last step's rows
};

}  // namespace attend::models
