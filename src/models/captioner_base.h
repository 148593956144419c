#pragma once
#include <cstdint>
#include <string>

#include "attend/models/captioner.h"
#include "models/choice.h"

namespace attend::models {

/// What every captioner shares: the words' vectors, the projection to the vocabulary, and what given captions cost.
class CaptionerBase : public Captioner {
 public:
  CaptionLoss loss(const at::Tensor& annotations, const at::Tensor& tokens, const Pass& pass) final;
  CaptionReading read(const at::Tensor& annotations, const at::Tensor& tokens) final;
  const NamedTensors& parameters() const final { return named_; }
  const CaptionerConfig& config() const final { return config_; }

 protected:
  /// What stands before the projection for tokens 1 … T, each given those before.
  struct Forced {
    at::Tensor readout;      // [B,T,E]
    at::Tensor maps, gates;  // [B,T,L] and [B,T], undefined unless asked for
    Choices choices;         // undefined where nothing was sampled
  };
  virtual Forced forced(const at::Tensor& annotations, const at::Tensor& tokens, const Pass& pass,
                        bool need_maps) = 0;

  CaptionerBase(const CaptionerConfig& config, std::uint64_t seed, at::ScalarType dtype);

  at::Tensor add(const std::string& name, const at::Tensor& x);  // a parameter of this name
  at::Tensor matrix(std::int64_t rows,
                    std::int64_t columns);  // glorot-uniform, the next stream of the seed
  at::Tensor zeros(at::IntArrayRef shape) const;
  void add_output(const at::Tensor& weight);                      // [V,E], and a bias of zeros
  at::Tensor log_probabilities(const at::Tensor& readout) const;  // [B,K,E] -> [B,K,V]

  const CaptionerConfig config_;
  const std::uint64_t seed_;
  const at::ScalarType dtype_;
  at::Tensor table_;                        // [V,E]
  at::Tensor output_weight_, output_bias_;  // [V,E], [V]
  NamedTensors named_;
  at::Tensor baseline_;  // [max_length + 2] by tokens still to come; 0 = none seen yet. Hard only

 private:
  void check_captions(const at::Tensor& annotations, const at::Tensor& tokens) const;
  std::uint64_t stream_ = 0;
};

std::unique_ptr<Captioner> make_show_attend_tell(const CaptionerConfig& config, std::uint64_t seed,
                                                 at::ScalarType dtype);
std::unique_ptr<Captioner> make_transformer_captioner(const CaptionerConfig& config,
                                                      std::uint64_t seed, at::ScalarType dtype);

}  // namespace attend::models
