#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/parameters.h>
#include <attend/nn/step_linear.h>

#include <cstdint>
#include <optional>

namespace attend::nn {

/// How well a query fits a key (Bahdanau et al. 2015, §A.1.2; Luong et al. 2015, §3.1; Vaswani et al. 2017).
enum class Score {
  kAdditive,   // v·tanh(W q + b + U k)
  kDot,        // q·k
  kGeneral,    // qᵀ W k
  kConcat,     // v·tanh(W [q; k]): additive by one matrix, without b
  kLocation,   // the scores are W q: the keys have no say
  kScaledDot,  // q·k / √D
  kCosine,     // q·k / (|q| |k|)
};
/// Which keys take part.
enum class Span {
  kGlobal,  // all
  kLocalM,  // those within `window` of the query's own position (Luong et al. 2015, §3.2)
  kLocalP,  // those within `window` of a predicted position, weighted by a Gaussian around it
};

struct AlignmentOptions {
  Score score = Score::kAdditive;
  Span span = Span::kGlobal;
  std::int64_t query_width = 0, key_width = 0;
  std::int64_t width = 0;      // A of kAdditive and kConcat, and of the predicted position
  std::int64_t window = 10;    // D of the local spans
  std::int64_t positions = 0;  // most keys that kLocation knows
};

/// The layer between a decoder and what it translates: score × span, with the parameters that they need. Names: query.weight
/// [A,Dq], query.bias [A], key.weight [A,Dk], score.weight [A]; general.weight [Dq,Dk]; concat.weight [A,Dq+Dk];
/// location.weight [P,Dq]; position.weight [A,Dq], position.score_weight [A].
class AlignmentModel {
 public:
  /// Keys and values of a batch of sources, ready for any number of queries: what depends on keys alone is done once.
  struct Memory {
    at::Tensor key;      // [B,Lk,A or Dk]
    at::Tensor value;    // [B,Lk,Dk]
    at::Tensor lengths;  // [B] int64
    // What steps need not make anew; absent where decoding hands on the tensors alone.
    at::Tensor prepared = {};                // of the key, for additive scores (AdditiveKeys)
    std::optional<StepLinear> project = {};  // of queries, where the score has a matrix
  };
  struct Result {
    at::Tensor context;  // [B,Lq,Dk]
    at::Tensor weights;  // [B,Lq,Lk], undefined unless asked for
  };

  /// Throws kUsage when widths do not fit the score (dot, scaled dot and cosine need Dq = Dk) or location meets a local span.
  AlignmentModel(const AlignmentOptions& options, std::uint64_t seed,
                 at::ScalarType dtype = at::kFloat);

  /// annotations [B,Lk,Dk]; lengths [B]: later annotations are never seen.
  Memory remember(const at::Tensor& annotations, const at::Tensor& lengths) const;
  /// query [B,Lq,Dq]; `first` is the position of the first query in its sentence, counted from 0, and `step` how far the next
  /// one stands (0 when the queries are hypotheses for one position).
  Result operator()(const Memory& memory, const at::Tensor& query, std::int64_t first,
                    std::int64_t step, bool need_weights) const;

  const NamedTensors& parameters() const { return named_; }
  const AlignmentOptions& options() const { return options_; }

 private:
  at::Tensor query_matrix() const;  // [A or Dk,Dq]; undefined where the score has none
  at::Tensor projected(const Memory& memory,
                       const at::Tensor& query) const;  // as the score takes it
  at::Tensor centre(const Memory& memory, const at::Tensor& query, std::int64_t first,
                    std::int64_t step) const;
  bool is_additive() const {
    return options_.score == Score::kAdditive || options_.score == Score::kConcat;
  }

  AlignmentOptions options_;
  at::Tensor query_weight_, query_bias_, key_weight_,
      score_weight_;  // views of one matrix for kConcat
  at::Tensor concat_weight_, general_weight_, location_weight_, position_weight_, position_score_;
  NamedTensors named_;
};

}  // namespace attend::nn
