#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attend/models/translator.h"
#include "attend/nn/recurrent.h"
#include "models/choice.h"

namespace attend::models {

/// What every translator shares: embeddings on both sides, the projection to the vocabulary and its loss.
class TranslatorBase : public Translator {
 public:
  TranslationLoss loss(const TranslationBatch& batch, const Pass& pass,
                       double label_smoothing) final;
  at::Tensor alignment(const TranslationBatch& batch) final;
  void prepare(Precision precision) override;
  NamedTensors parameters() final { return named_; }
  const TranslatorConfig& config() const final { return config_; }

 protected:
  /// Readouts [B,T,C] for target tokens 1 … T given those before, dropout included, and the attention that made them.
  struct Forced {
    at::Tensor readout, weights;
    Choices choices;  // of sampled places, else undefined
  };
  virtual Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) = 0;

  TranslatorBase(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype);

  /// Makes vocabulary tables and projection; `readout` is the width C that forced() and step() give.
  void make_vocabularies(std::int64_t readout);
  at::Tensor add(const std::string& name, const at::Tensor& x);  // a parameter of this name
  void add_recurrent(const std::string& prefix, const std::vector<nn::CellWeights>& cells,
                     const nn::RecurrentOptions& options);
  at::Tensor matrix(std::int64_t rows,
                    std::int64_t columns);  // glorot-uniform, the next stream of the seed
  at::Tensor zeros(std::int64_t n) const;

  /// The attention that the config asks for, its parameters named "attention.…"; none where it is off.
  std::optional<nn::AlignmentModel> make_attention(std::int64_t query_width,
                                                   std::int64_t key_width);

  /// Where the queries stand in their sentences (see AlignmentModel), and whether weights are wanted.
  struct Place {
    std::int64_t first = 0, step = 0;
    bool need_weights = true;
  };
  /// How this pass samples places, as the config's choice has it.
  Sampling sampling(std::int64_t batch, const Pass& pass) const;
  /// Looks at the source as the config's choice has it.
  Look look(const nn::AlignmentModel& attention, const nn::AlignmentModel::Memory& memory,
            const at::Tensor& query, const Place& place, const Sampling& sampling) const;

  /// What a decoding carries of its sources: key, value and lengths, the model's own, and what is prepared of the key if anything.
  static std::vector<at::Tensor> carried(const nn::AlignmentModel::Memory& memory,
                                         std::vector<at::Tensor> own);
  /// The memory again; `prepared` is where that would be.
  static nn::AlignmentModel::Memory memory_in(const std::vector<at::Tensor>& carried,
                                              std::size_t prepared);

  void make_attentional(std::int64_t hidden);
  /// h̃ = tanh(W [context; state]) (Luong et al. 2015, eq. 5), W from make_attentional(): `combine` is combination(), made once
  /// for all steps.
  Forced attentional(const nn::AlignmentModel& attention, const nn::AlignmentModel::Memory& memory,
                     const at::Tensor& states, const Place& place, const Sampling& samples,
                     const nn::StepLinear& combine) const;
  nn::StepLinear combination() const { return nn::StepLinear(combine_); }

  at::Tensor embed_source(const at::Tensor& ids,
                          const Pass& pass) const;  // [B,S] -> [B,S,E], dropout included
  at::Tensor embed_target(const at::Tensor& ids, const Pass& pass) const;
  /// One mask a sentence and channel, shared by its tokens: x [B,L,C]. `site` keeps masks of one step apart.
  at::Tensor dropped(const at::Tensor& x, const Pass& pass, std::int64_t site) const;
  at::Tensor log_probabilities(const at::Tensor& readout) const;  // [..., C] -> [..., V]
  void check_source(const at::Tensor& ids, const at::Tensor& lengths) const;
  std::uint64_t seed_of(
      std::uint64_t part) const;  // decoders, encoders and attention draw from seeds of their own

  const TranslatorConfig config_;
  const std::uint64_t seed_;
  const at::ScalarType dtype_;
  at::Tensor source_table_, target_table_;  // [V,E]
  at::Tensor output_weight_, output_bias_;  // [V,C], [V]
  at::Tensor baseline_;                     // [max_length + 2], see reinforced(); kHard only

 private:
  at::Tensor combine_;  // [H,2H], no bias as in the paper
  std::uint64_t stream_ = 1;
  NamedTensors named_;
};

/// The dropouts of a pass that are not the encoder's or decoder's own.
inline constexpr std::int64_t kSourceDropout = 1, kTargetDropout = 2, kReadoutDropout = 3,
                              kExpectedDropout = 4095;  // rows that take the mean

std::unique_ptr<Translator> make_bahdanau(const TranslatorConfig& config, std::uint64_t seed,
                                          at::ScalarType dtype);
std::unique_ptr<Translator> make_luong(const TranslatorConfig& config, std::uint64_t seed,
                                       at::ScalarType dtype);
std::unique_ptr<Translator> make_lstmn_translator(const TranslatorConfig& config,
                                                  std::uint64_t seed, at::ScalarType dtype);
std::unique_ptr<Translator> make_transformer_translator(const TranslatorConfig& config,
                                                        std::uint64_t seed, at::ScalarType dtype);

}  // namespace attend::models
