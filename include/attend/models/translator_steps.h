#pragma once
#include <ATen/core/Tensor.h>

#include "attend/models/grid_steps.h"
#include "attend/models/translator.h"

namespace attend::models {

/// A translator and its sources as the searches of attend/decode/search.h drive them. Holds a reference to the translator.
class TranslatorSteps final : public GridSteps {
 public:
  /// source [B,S] int64, lengths [B].
  TranslatorSteps(Translator& translator, at::Tensor source, at::Tensor lengths);

  std::int64_t sources() const override { return source_.size(0); }
  std::int64_t vocabulary() const override { return translator_.config().target_vocabulary; }

 protected:
  Decoding begin() override { return translator_.begin(source_, lengths_); }
  DecodingStep advance(Decoding& decoding, const at::Tensor& tokens) override {
    return translator_.step(decoding, tokens);
  }

 private:
  Translator& translator_;
  const at::Tensor source_, lengths_;
};

}  // namespace attend::models
