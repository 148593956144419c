#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/models/language_model.h"

namespace attend::models {

/// What every language model shares: the embedding, the projection to the vocabulary and its loss.
class LanguageBase : public LanguageModel {
 public:
  at::Tensor loss(const at::Tensor& tokens, const Pass& pass) final;
  at::Tensor next(const at::Tensor& tokens) final;
  at::Tensor next(const at::Tensor& tokens, LanguageState& state) final;
  std::vector<LanguageAttention> attention(const at::Tensor& tokens) final;
  NamedTensors parameters() final { return named_; }
  const LanguageConfig& config() const final { return config_; }

 protected:
  LanguageBase(const LanguageConfig& config, std::uint64_t seed, at::ScalarType dtype);

  /// Readouts [B,T,C] of tokens [B,T], dropout included; appends to `seen` unless that is null.
  virtual at::Tensor read(const at::Tensor& tokens, const Pass& pass,
                          std::vector<LanguageAttention>* seen) = 0;

  /// The same of tokens [B,T] behind those of the state, whose rows it brings up to date; without dropout or gradient.
  virtual at::Tensor go_on(const at::Tensor& tokens, LanguageState& state) = 0;

  /// Makes embedding and projection; `readout` is the width C that read() gives.
  void make_vocabulary(std::int64_t readout);
  at::Tensor add(const std::string& name, const at::Tensor& x);  // a parameter of this name
  std::uint64_t seed_of(std::uint64_t part) const;  // parts draw from seeds of their own

  const LanguageConfig config_;
  const std::uint64_t seed_;
  const at::ScalarType dtype_;
  at::Tensor table_, output_weight_, output_bias_;  // [V,E], [V,C], [V]

 private:
  void check_rows(const at::Tensor& tokens, std::int64_t most) const;

  NamedTensors named_;
};

std::unique_ptr<LanguageModel> make_lstm_language(const LanguageConfig& config, std::uint64_t seed,
                                                  at::ScalarType dtype);
std::unique_ptr<LanguageModel> make_lstmn_language(const LanguageConfig& config, std::uint64_t seed,
                                                   at::ScalarType dtype);
std::unique_ptr<LanguageModel> make_transformer_language(const LanguageConfig& config,
                                                         std::uint64_t seed, at::ScalarType dtype);

}  // namespace attend::models
