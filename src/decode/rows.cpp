#include "decode/rows.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/base/error.h"
#include "attend/ops/scores.h"

namespace attend::decode {
namespace {

at::Tensor id_tensor(const std::vector<Row>& rows, std::int64_t Row::*member) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(rows.size())}, at::kLong);
  auto* values = out.mutable_data_ptr<std::int64_t>();
  for (std::size_t r = 0; r < rows.size(); ++r) values[r] = rows[r].*member;
  return out;
}

std::string text_of(at::IntArrayRef sizes) {
  std::string out = "[";
  for (const auto size : sizes) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

}  // namespace

Trail::~Trail() {
  TrailPtr at = std::move(before);
  while (at && at.use_count() == 1) at = std::move(at->before);
}

StepRows::StepRows(const Stepper& stepper, models::StepResult result, const std::vector<Row>& rows)
    : stepper_(stepper), result_(std::move(result)), rows_(rows) {
  at::Tensor& log_p = result_.log_probabilities;
  const at::ScalarType type = log_p.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  log_p = log_p.detach().to(at::kCPU, type).contiguous();
  if (has_attention())
    result_.attention = result_.attention.detach().to(at::kCPU, at::kFloat).contiguous();
  const auto restrict_all = [&](auto* scores) {
    const auto n = static_cast<std::size_t>(log_p.size(1));
    for (std::size_t r = 0; r < rows.size(); ++r)
      if (!stepper.restrict(std::span(scores + r * n, n), rows[r].source)) fail_for_nan(r);
  };
  if (type == at::kDouble)
    restrict_all(log_p.mutable_data_ptr<double>());
  else
    restrict_all(log_p.mutable_data_ptr<float>());
}

void StepRows::fail_for_nan(std::size_t r) const {
  stepper_.fail_model("NaN for source " + std::to_string(rows_[r].source));
}

std::vector<std::vector<StepRows::Continuation>> StepRows::best(std::int64_t k) const {
  const std::int64_t most = std::min(k, vocabulary());
  const auto [value, index] = best_of_rows(result_.log_probabilities, most);
  std::vector<std::vector<Continuation>> out(rows_.size());
  const std::int64_t* token = index.const_data_ptr<std::int64_t>();
  const auto read = [&](const auto* log_p) {
    for (std::size_t r = 0; r < out.size(); ++r, token += most, log_p += most) {
      if (*token == kBestOfNaN) fail_for_nan(r);
      for (std::int64_t i = 0; i < most && token[i] != kBestOfNone; ++i)
        out[r].push_back({token[i], static_cast<double>(log_p[i])});
    }
  };
  if (value.scalar_type() == at::kDouble)
    read(value.const_data_ptr<double>());
  else
    read(value.const_data_ptr<float>());
  return out;
}

const double* StepRows::scores(std::size_t r) {
  const auto n = static_cast<std::size_t>(vocabulary());
  scores_.resize(n);
  if (result_.log_probabilities.scalar_type() == at::kDouble)
    std::copy_n(result_.log_probabilities.const_data_ptr<double>() + r * n, n, scores_.begin());
  else
    std::copy_n(result_.log_probabilities.const_data_ptr<float>() + r * n, n, scores_.begin());
  bool has_nan = false;
  for (const double score : scores_) has_nan |= std::isnan(score);
  if (has_nan) fail_for_nan(r);
  return scores_.data();
}

std::vector<float> StepRows::attention(std::size_t r) const {
  if (!has_attention()) return {};
  const auto n = static_cast<std::size_t>(result_.attention.size(1));
  const float* first = result_.attention.const_data_ptr<float>() + r * n;
  return {first, first + n};
}

Stepper::Stepper(const char* op, models::StepModel& model, const SearchOptions& options)
    : op_(op),
      model_(model),
      options_(options),
      sources_(model.sources()),
      vocabulary_(model.vocabulary()) {
  check_options();
  check_ids();
  model_.start();
}

void Stepper::fail(const std::string& what) const { fail_usage(op_ + ": " + what); }

void Stepper::check_options() const {
  const auto n = static_cast<std::size_t>(sources_);
  if (!options_.max_lengths.empty() && options_.max_lengths.size() != n)
    fail("max_lengths has " + std::to_string(options_.max_lengths.size()) + " values for " +
         std::to_string(n) + " sources");
  if (!options_.prefixes.empty() && options_.prefixes.size() != n)
    fail("prefixes has " + std::to_string(options_.prefixes.size()) + " lists for " +
         std::to_string(n) + " sources");
  if (options_.min_length < 0)
    fail("min_length is " + std::to_string(options_.min_length) + "; give 0 or more");
  for (std::int64_t source = 0; source < std::max<std::int64_t>(sources_, 1); ++source) {
    if (source >= sources_ && !options_.max_lengths.empty()) break;
    const std::int64_t most = max_length(source);
    if (most < 1) fail("max_length is " + std::to_string(most) + "; give 1 or more");
    if (options_.min_length > most)
      fail("min_length " + std::to_string(options_.min_length) + " is above max_length " +
           std::to_string(most));
  }
}

void Stepper::check_ids() const {
  const auto check = [this](std::int64_t id, const char* what) {
    if (id < 0 || id >= vocabulary_)
      fail(std::string(what) + " " + std::to_string(id) + " is no id of the vocabulary 0…" +
           std::to_string(vocabulary_ - 1));
  };
  check(options_.bos, "bos");
  check(options_.eos, "eos");
  for (const std::int64_t id : options_.forbidden) {
    check(id, "forbidden token");
    if (id == options_.eos) fail("eos is among the forbidden tokens, so nothing could end");
  }
  for (std::size_t source = 0; source < options_.prefixes.size(); ++source) {
    const auto& prefix = options_.prefixes[source];
    for (const std::int64_t id : prefix) {
      check(id, "prefix token");
      if (id == options_.eos) fail("the prefix of source " + std::to_string(source) + " holds eos");
    }
    const std::int64_t most = max_length(static_cast<std::int64_t>(source));
    if (static_cast<std::int64_t>(prefix.size()) > most)
      fail("the prefix of source " + std::to_string(source) + " has " +
           std::to_string(prefix.size()) + " tokens, more than max_length " + std::to_string(most));
  }
}

std::int64_t Stepper::max_length(std::int64_t source) const {
  return options_.max_lengths.empty() ? options_.max_length
                                      : options_.max_lengths[static_cast<std::size_t>(source)];
}

std::vector<Row> Stepper::first_rows() const {
  std::vector<Row> rows;
  for (std::int64_t source = 0; source < sources_; ++source)
    rows.push_back({source, source, options_.bos, 0, nullptr});
  return rows;
}

StepRows Stepper::step(const std::vector<Row>& rows) {
  ++steps_;
  models::StepResult result =
      model_.step(id_tensor(rows, &Row::token), id_tensor(rows, &Row::parent));
  check_shapes(result, static_cast<std::int64_t>(rows.size()));
  return StepRows(*this, std::move(result), rows);
}

void Stepper::fail_model(const std::string& what) const {
  throw Error(ErrorKind::kFailure,
              op_ + ": step " + std::to_string(steps_) + ": the model gave " + what);
}

void Stepper::check_shapes(const models::StepResult& result, std::int64_t rows) const {
  const at::Tensor& log_p = result.log_probabilities;
  const std::string wanted = "; expected [" + std::to_string(rows) + ", ";
  if (!log_p.defined() || log_p.dim() != 2 || log_p.size(0) != rows || log_p.size(1) != vocabulary_)
    fail_model("log_probabilities of shape " + (log_p.defined() ? text_of(log_p.sizes()) : "none") +
               wanted + std::to_string(vocabulary_) + "]");
  const at::Tensor& attention = result.attention;
  if (attention.defined() && (attention.dim() != 2 || attention.size(0) != rows))
    fail_model("attention of shape " + text_of(attention.sizes()) + wanted + "Lk]");
}

template <class T>
bool Stepper::restrict(std::span<T> scores, std::int64_t source) const {
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  bool is_number = true;
  const auto forbid = [&](std::int64_t id) {
    T& score = scores[static_cast<std::size_t>(id)];
    is_number = is_number && !std::isnan(score);
    score = kNever;
  };
  const auto only = [&](std::int64_t token) {
    for (std::int64_t id = 0; id < vocabulary_; ++id)
      if (id != token) forbid(id);
    return is_number;
  };
  if (!options_.prefixes.empty()) {
    const auto& prefix = options_.prefixes[static_cast<std::size_t>(source)];
    if (length() < static_cast<std::int64_t>(prefix.size()))
      return only(prefix[static_cast<std::size_t>(length())]);
  }
  if (length() >= max_length(source)) return only(options_.eos);
  for (const std::int64_t id : options_.forbidden) forbid(id);
  if (length() < options_.min_length) forbid(options_.eos);
  return is_number;
}

TrailPtr extend(const TrailPtr& trail, std::int64_t token, std::vector<float> attention) {
  return std::make_shared<Trail>(trail, token, std::move(attention));
}

Hypothesis to_hypothesis(const TrailPtr& trail, double log_probability) {
  Hypothesis out;
  out.log_probability = out.score = log_probability;
  for (const Trail* at = trail.get(); at != nullptr; at = at->before.get()) {
    out.tokens.push_back(at->token);
    if (!at->attention.empty()) out.attention.push_back(at->attention);
  }
  std::reverse(out.tokens.begin(), out.tokens.end());
  std::reverse(out.attention.begin(), out.attention.end());
  return out;
}

}  // namespace attend::decode
