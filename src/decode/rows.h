#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attend/decode/search.h"

// What the searches share: checked options, a step of the model, and hypotheses as linked tokens.
namespace attend::decode {

/// Token t of a hypothesis with all before it. Hypotheses that split share their beginnings, so a
/// step costs no copies.
struct Trail {
  Trail(std::shared_ptr<Trail> before_it, std::int64_t token_id, std::vector<float> attention_row)
      : before(std::move(before_it)), token(token_id), attention(std::move(attention_row)) {}
  Trail(const Trail&) = delete;
  Trail& operator=(const Trail&) = delete;
  ~Trail();                       // not recursive: a long sentence must not need a deep stack
  std::shared_ptr<Trail> before;  // null for the first token
  std::int64_t token = 0;
  std::vector<float> attention;  // of this token; empty without
};
using TrailPtr = std::shared_ptr<Trail>;

/// An open hypothesis: one row of the next step.
struct Row {
  std::int64_t source = 0;
  std::int64_t parent = 0;  // row of the step before
  std::int64_t token = 0;   // to feed
  double log_probability = 0;
  TrailPtr trail;
};

class Stepper;

/// Log-probabilities and attention of a step.
class StepRows {
 public:
  StepRows(const Stepper& stepper, models::StepResult result, const std::vector<Row>& rows);
  std::int64_t vocabulary() const { return result_.log_probabilities.size(1); }
  bool has_attention() const { return result_.attention.defined(); }

  /// What may follow: forbidden tokens, eos before min_length, all but eos at the maximal length and
  /// all but the prefix within it have −∞, and never come. Throw kFailure for NaN.
  /// The k best of each row, best first, of equals the lower id.
  struct Continuation {
    std::int64_t token = 0;
    double log_p = 0;
  };
  std::vector<std::vector<Continuation>> best(std::int64_t k) const;
  /// log p of every token for row r; holds until the next call.
  const double* scores(std::size_t r);
  std::vector<float> attention(std::size_t r) const;  // of row r; empty without

 private:
  const Stepper& stepper_;
  void fail_for_nan(std::size_t r) const;
  models::StepResult result_;  // contiguous, −∞ where nothing may follow; attention float
  const std::vector<Row>& rows_;
  std::vector<double> scores_;
};

/// A search's view of the model: options checked against it, and its steps.
class Stepper {
 public:
  Stepper(const char* op, models::StepModel& model, const SearchOptions& options);

  /// One row of bos for each source.
  std::vector<Row> first_rows() const;

  /// Feeds the rows and gives what may follow. The result refers to `rows`.
  StepRows step(const std::vector<Row>& rows);

  /// Tokens written before the present step's.
  std::int64_t length() const { return steps_ - 1; }
  std::int64_t max_length(std::int64_t source) const;
  bool is_eos(std::int64_t token) const { return token == options_.eos; }
  std::int64_t sources() const { return sources_; }

  /// Sets what may not follow in this step to −∞; false if a NaN went under.
  template <class T>
  bool restrict(std::span<T> scores, std::int64_t source) const;
  [[noreturn]] void fail_model(const std::string& what) const;

 private:
  void check_options() const;
  void check_ids() const;
  void check_shapes(const models::StepResult& result, std::int64_t rows) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::string op_;
  models::StepModel& model_;
  const SearchOptions& options_;
  std::int64_t sources_ = 0, vocabulary_ = 0, steps_ = 0;
};

/// The row extended by a token.
TrailPtr extend(const TrailPtr& trail, std::int64_t token, std::vector<float> attention);

/// The tokens (and attention) along a trail; eos is not on it.
Hypothesis to_hypothesis(const TrailPtr& trail, double log_probability);

}  // namespace attend::decode
