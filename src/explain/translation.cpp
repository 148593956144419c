#include "attend/explain/translation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "attend/base/error.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

constexpr std::size_t kSources =
    64;  // read together: bounds the log-probabilities [B,1,V] of a step

using Ids = std::vector<std::int64_t>;

struct Reading {
  std::vector<std::vector<double>> log_probabilities;  // [source][target]
  std::vector<std::vector<double>> weights;            // of the first source, [target][S]
};

/// Every source with the same target, token by token.
Reading read_forced(models::Translator& model, const std::vector<Ids>& sources, const Ids& target) {
  std::size_t longest = 0;
  for (const Ids& s : sources) longest = std::max(longest, s.size());
  const auto n = static_cast<std::int64_t>(sources.size());
  const auto steps = static_cast<std::int64_t>(longest);
  const at::Tensor ids = at::zeros({n, steps}, at::kLong), lengths = at::empty({n}, at::kLong);
  for (std::int64_t i = 0; i < n; ++i) {
    const Ids& s = sources[static_cast<std::size_t>(i)];
    std::copy(s.begin(), s.end(), ids.mutable_data_ptr<std::int64_t>() + i * steps);
    lengths.mutable_data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(s.size());
  }
  Reading out{std::vector<std::vector<double>>(sources.size()), {}};
  models::Decoding decoding = model.begin(ids, lengths);
  std::int64_t token = models::kBegin;
  for (const std::int64_t next : target) {
    const models::DecodingStep step = model.step(decoding, at::full({n, 1}, token, at::kLong));
    const at::Tensor chosen =
        step.log_probabilities.select(2, next).to(at::kDouble).contiguous();  // [B,1]
    for (std::int64_t i = 0; i < n; ++i)
      out.log_probabilities[static_cast<std::size_t>(i)].push_back(
          chosen.const_data_ptr<double>()[i]);
    if (step.weights.defined()) {
      const at::Tensor row = step.weights[0][0].to(at::kDouble).contiguous();  // [S]
      const double* w = row.const_data_ptr<double>();
      out.weights.emplace_back(w, w + sources[0].size());
    }
    token = next;
  }
  return out;
}

Ids without(const Ids& ids, std::size_t place) {
  Ids out = ids;
  out.erase(out.begin() + static_cast<std::ptrdiff_t>(place));
  return out;
}

std::vector<double> column_sums(const std::vector<std::vector<double>>& rows, std::size_t columns) {
  std::vector<double> out(rows.empty() ? 0 : columns, 0.0);
  for (const auto& row : rows)
    for (std::size_t s = 0; s < columns; ++s) out[s] += row[s];
  return out;
}

}  // namespace

TranslationExplanation explain_translation(models::Translator& model, const Ids& source,
                                           const Ids& target, const ShuffleOptions& shuffles) {
  if (source.empty() || target.empty())
    fail_usage("attend::explain: explain_translation of " + std::to_string(source.size()) +
               " source and " + std::to_string(target.size()) +
               " target tokens; give at least one of each");
  const at::NoGradGuard no_grad;
  TranslationExplanation e;
  Reading whole = read_forced(model, {source}, target);
  e.weights = std::move(whole.weights);
  for (const double p : whole.log_probabilities[0]) e.log_probability += p;
  e.effects.assign(target.size(), std::vector<double>(source.size(), kNone));
  for (std::size_t first = 0; source.size() > 1 && first < source.size(); first += kSources) {
    std::vector<Ids> variants;
    for (std::size_t s = first; s < std::min(first + kSources, source.size()); ++s)
      variants.push_back(without(source, s));
    const Reading shorter = read_forced(model, variants, target);
    for (std::size_t i = 0; i < variants.size(); ++i)
      for (std::size_t t = 0; t < target.size(); ++t)
        e.effects[t][first + i] = whole.log_probabilities[0][t] - shorter.log_probabilities[i][t];
  }
  e.attention = column_sums(e.weights, source.size());
  e.leave_one_out = column_sums(e.effects, source.size());
  static_cast<RowComparison&>(e) = compare_rows(e.weights, e.effects, shuffles);
  return e;
}

}  // namespace attend::explain
