#pragma once
#include <ATen/core/Tensor.h>
#include <attend/models/decoding.h>
#include <attend/models/step_model.h>
#include <attend/models/translator.h>
#include <attend/nn/dropout.h>
#include <attend/nn/parameters.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace attend::models {

enum class LanguageArchitecture {
  kLstm,         // stacked LSTM, without attention
  kLstmn,        // stacked LSTMN: attention over its own states (Cheng et al. 2016)
  kTransformer,  // decoder-only: causal self-attention (Vaswani et al. 2017; Radford et al. 2018)
};

/// A model of running text. Fields that an architecture has no use for are ignored, and say so here.
struct LanguageConfig {
  LanguageArchitecture architecture = LanguageArchitecture::kLstm;
  std::int64_t vocabulary = 0;         // ids, the four special ones included
  std::int64_t max_length = 128;       // T, tokens that are read at most to predict the next
  std::int64_t embedding_width = 128;  // E; Transformer: C, the width of everything
  std::int64_t hidden = 256;           // recurrent: H
  std::int64_t layers = 1;
  /// Recurrent: on every layer's input and the last one's output, one mask a row; Transformer: where the paper has it, every
  /// element by itself.
  double dropout = 0.2;
  std::int64_t attention_width = 128;  // LSTMN: A
  std::int64_t heads = 4;              // Transformer: a divisor of embedding_width
  std::int64_t feed_forward = 512;     // Transformer: F
  NormPlace norm = NormPlace::kFirst;  // Transformer
  bool share_embeddings =
      false;  // the embedding is the output projection too (Press & Wolf 2017): needs
              // hidden = embedding_width of the recurrent ones
};

/// Who looked at whom in one row: weights [B,T,T], query t over the tokens that it may read.
struct LanguageAttention {
  std::int64_t layer = 0, head = 0;
  at::Tensor weights;
};

/// Where a reading stands: rows that have all read the same number of tokens. To go on may write into the tensors that are
/// here, so of two copies that share them only one can.
struct LanguageState {
  std::vector<at::Tensor> rows;  // [B,…] what later tokens need of the earlier ones
  std::int64_t length = 0;       // tokens that every row has read
};

/// Row r becomes what row rows[r] was; rows [B'] int64, each in [0, B).
void reorder(LanguageState& state, const at::Tensor& rows);

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  /// Σ of −log p(tokens[t + 1] | tokens[0…t]) in nats over the rows tokens [B,T+1] int64; a kPadding to be predicted doesn't
  /// count, so short rows are padded behind. Every row begins with nothing remembered. Differentiable.
  virtual at::Tensor loss(const at::Tensor& tokens, const Pass& pass) = 0;

  /// log p(next | row), [B,V], for rows of equal length tokens [B,T], 1 ≤ T ≤ max_length.
  virtual at::Tensor next(const at::Tensor& tokens) = 0;

  /// The same after a row of which state.length tokens were read before and tokens [B,T] follow; T ≥ 1, all together ≤
  /// max_length. A state begins empty. What was read is not read again: of t tokens a Transformer keeps keys and values
  /// [B,heads,t,C/heads] of each layer, an LSTMN its tapes [B,t,H], an LSTM one h and c [B,H].
  virtual at::Tensor next(const at::Tensor& tokens, LanguageState& state) = 0;

  /// Attention while tokens [B,T] are read, of each layer and head: LSTMN: over the tokens before (row 0 is all 0);
  /// Transformer: over the tokens before and itself. Empty for kLstm, which has none.
  virtual std::vector<LanguageAttention> attention(const at::Tensor& tokens) = 0;

  /// Fixed order; leaf tensors that may be written in place (under no_grad).
  virtual NamedTensors parameters() = 0;
  virtual const LanguageConfig& config() const = 0;
};

/// Builds the model, a pure function of config and seed. Throws kUsage on a config that makes no sense.
std::unique_ptr<LanguageModel> make_language_model(const LanguageConfig& config, std::uint64_t seed,
                                                   at::ScalarType dtype = at::kFloat);

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const LanguageConfig& config);

/// Continues texts for the searches of attend/decode/search.h. prompts[b]: ids that are there already (kBegin is put in
/// front), of which the last max_length are read. A step reads one token a row. When max_length tokens are read, the next
/// step forgets all but the last half of them and reads those again, for they stand at other places now.
class LanguageSteps final : public StepModel {
 public:
  LanguageSteps(LanguageModel& model, std::vector<std::vector<std::int64_t>> prompts);
  std::int64_t sources() const override { return static_cast<std::int64_t>(prompts_.size()); }
  std::int64_t vocabulary() const override { return model_.config().vocabulary; }
  void start() override { groups_.clear(); }
  StepResult step(const at::Tensor& tokens, const at::Tensor& parents) override;

 private:
  /// Rows of the last step that have read equally many tokens.
  struct Group {
    std::vector<std::int64_t> places;             // among all rows of the step, ascending
    std::vector<std::vector<std::int64_t>> read;  // by each, since its reading began
    LanguageState state;                          // may lack the last of them
  };
  std::vector<Group> begin(const at::Tensor& tokens, const at::Tensor& parents) const;
  std::vector<Group> follow(const at::Tensor& tokens, const at::Tensor& parents);
  at::Tensor read_on(Group& group);  // [rows of it,V]

  LanguageModel& model_;
  const std::vector<std::vector<std::int64_t>> prompts_;
  std::vector<Group> groups_;
};

}  // namespace attend::models
