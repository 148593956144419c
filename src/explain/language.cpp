#include "attend/explain/language.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "explain/json_parts.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

using Matrix = std::vector<std::vector<double>>;

constexpr std::size_t kRowsAtOnce = 64;  // bounds the log-probabilities [B,V] of a step

/// log p(next | row) for rows of equal length.
std::vector<double> chances(models::LanguageModel& model,
                            const std::vector<std::vector<std::int64_t>>& rows, std::int64_t next) {
  std::vector<double> out;
  for (std::size_t first = 0; first < rows.size(); first += kRowsAtOnce) {
    const std::size_t last = std::min(first + kRowsAtOnce, rows.size());
    std::vector<std::int64_t> ids;
    for (std::size_t i = first; i < last; ++i)
      ids.insert(ids.end(), rows[i].begin(), rows[i].end());
    const at::Tensor tokens = at::tensor(ids, at::kLong)
                                  .view({static_cast<std::int64_t>(last - first),
                                         static_cast<std::int64_t>(rows[first].size())});
    const at::Tensor p = model.next(tokens).select(1, next).to(at::kDouble).contiguous();
    out.insert(out.end(), p.const_data_ptr<double>(), p.const_data_ptr<double>() + (last - first));
  }
  return out;
}

/// Reads one row: what it says of every token of the vocabulary, [V].
at::Tensor distribution(models::LanguageModel& model, const std::vector<std::int64_t>& row) {
  return model.next(at::tensor(row, at::kLong).unsqueeze(0))[0].to(at::kDouble);
}

/// What a text may go on with; padding and its beginning are no tokens of it.
std::int64_t likeliest(const at::Tensor& distribution) {
  at::Tensor p = distribution.clone();
  for (const std::int64_t id : {models::kPadding, models::kBegin}) p[id].fill_(-INFINITY);
  return p.argmax().item<std::int64_t>();
}

std::vector<double> sums_of_columns(const Matrix& rows) {
  std::vector<double> out(rows.size(), kNone);
  for (const auto& row : rows)
    for (std::size_t s = 0; s < row.size(); ++s)
      if (!std::isnan(row[s])) out[s] = (std::isnan(out[s]) ? 0 : out[s]) + row[s];
  return out;
}

/// weights [1,n+1,n+1], kBegin first, as rows of tokens.
Matrix rows_of(const at::Tensor& weights, bool sees_itself) {
  const at::Tensor w = weights[0].to(at::kDouble).contiguous();
  const auto n = static_cast<std::size_t>(w.size(0)) - 1;
  const double* p = w.const_data_ptr<double>();
  Matrix out(n, std::vector<double>(n, kNone));
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t s = 0; s < t + (sees_itself ? 1 : 0); ++s)
      out[t][s] = p[(t + 1) * (n + 1) + s + 1];
  return out;
}

/// Their mean, NaN where it has one; empty of none.
Matrix mean_of(const std::vector<SelfAttention>& maps) {
  if (maps.empty()) return {};
  Matrix out = maps.front().weights;
  for (std::size_t m = 1; m < maps.size(); ++m)
    for (std::size_t t = 0; t < out.size(); ++t)
      for (std::size_t s = 0; s < out.size(); ++s) out[t][s] += maps[m].weights[t][s];
  for (auto& row : out)
    for (double& w : row) w /= static_cast<double>(maps.size());
  return out;
}

}  // namespace

LanguageExplanation explain_language(models::LanguageModel& model,
                                     const std::vector<std::int64_t>& tokens,
                                     const ShuffleOptions& shuffles) {
  const std::size_t n = tokens.size();
  if (n < 1 || static_cast<std::int64_t>(n) >= model.config().max_length)
    fail_usage("attend::explain: explain_language of " + std::to_string(n) +
               " tokens; give at least 1 and fewer than max_length = " +
               std::to_string(model.config().max_length));
  const at::NoGradGuard no_grad;
  LanguageExplanation e;
  std::vector<std::int64_t> read = {models::kBegin};
  read.insert(read.end(), tokens.begin(), tokens.end());
  const bool sees_itself =
      model.config().architecture == models::LanguageArchitecture::kTransformer;
  for (const models::LanguageAttention& a :
       model.attention(at::tensor(read, at::kLong).unsqueeze(0)))
    e.maps.push_back({a.layer, a.head, rows_of(a.weights, sees_itself)});
  e.weights = mean_of(e.maps);
  e.effects.assign(n, std::vector<double>(n, kNone));
  for (std::size_t t = 0; t <= n; ++t) {
    const std::vector<std::int64_t> before(read.begin(),
                                           read.begin() + static_cast<std::ptrdiff_t>(t) + 1);
    const at::Tensor p = distribution(model, before);
    if (t > 0) {
      e.guesses.push_back(likeliest(p));
      e.guess_log_probabilities.push_back(p[e.guesses.back()].item<double>());
    }
    if (t == n) break;
    e.log_probabilities.push_back(p[tokens[t]].item<double>());
    if (t < 2) continue;  // a single token before: without it there is nothing left
    std::vector<std::vector<std::int64_t>> shorter(t, before);
    for (std::size_t s = 0; s < t; ++s)
      shorter[s].erase(shorter[s].begin() + static_cast<std::ptrdiff_t>(s) + 1);
    const std::vector<double> without = chances(model, shorter, tokens[t]);
    for (std::size_t s = 0; s < t; ++s) e.effects[t - 1][s] = e.log_probabilities[t] - without[s];
  }
  e.leave_one_out = sums_of_columns(e.effects);
  static_cast<RowComparison&>(e) = compare_rows(e.weights, e.effects, shuffles);
  return e;
}

std::string to_json(const LanguageExplanation& e, const LanguageText& text,
                    const std::string& run) {
  Json out = {{"schema", "attend.explain/1"}, {"run", run}};
  out["input"] = text.tokens;
  out["output"] = {{"log_probability", numbers(e.log_probabilities)},
                   {"guess", text.guesses},
                   {"guess_log_probability", numbers(e.guess_log_probabilities)}};
  out["attention"] = self_attention_json(e.maps, text.tokens);
  out["attribution"] = {{"leave_one_out", numbers(e.leave_one_out)},
                        {"leave_one_out_by_token", matrix(e.effects)},
                        {"gradient_x_input", nullptr},
                        {"rollout", nullptr}};
  out["agreement"] = comparison_json(e);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace attend::explain
