#include "explain/measures.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "explain/none.h"

namespace attend::explain {
namespace {

// A batch, and where each row's ids begin (after the padding when it goes in front).
struct Laid {
  models::ClassifierBatch batch;
  std::vector<std::size_t> begin;
};

Laid lay_out(const models::Classifier& model, const std::vector<Row>& rows, std::size_t first,
             std::size_t n, const Options& options) {
  const auto& config = model.config();
  std::size_t longest = 1;
  for (std::size_t i = first; i < first + n; ++i) longest = std::max(longest, rows[i].ids.size());
  // Masked padding is never read, and lengths count from the front: there it always goes behind.
  const bool front = !config.mask_padding && options.padding == Padding::kFront;
  const std::int64_t steps =
      config.mask_padding ? static_cast<std::int64_t>(longest) : config.max_length;
  const auto count = static_cast<std::int64_t>(n);
  Laid laid{{at::zeros({count, steps}, at::kLong), at::empty({count}, at::kLong)}, {}};
  std::int64_t* ids = laid.batch.ids.mutable_data_ptr<std::int64_t>();
  std::int64_t* lengths = laid.batch.lengths.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < n; ++i) {
    const auto& row = rows[first + i].ids;
    lengths[i] = static_cast<std::int64_t>(row.size());
    laid.begin.push_back(front ? static_cast<std::size_t>(steps) - row.size() : 0);
    std::copy(
        row.begin(), row.end(),
        ids + static_cast<std::int64_t>(i) * steps + static_cast<std::int64_t>(laid.begin[i]));
  }
  return laid;
}

// The part of a row's values that belongs to its ids.
std::vector<double> of_ids(const std::vector<double>& values, std::size_t begin, std::size_t n) {
  const auto from = values.begin() + static_cast<std::ptrdiff_t>(begin);
  return {from, from + static_cast<std::ptrdiff_t>(n)};
}

double total_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += std::isnan(v) ? 0 : v;
  return sum;
}

// The part of a square of weights that belongs to a row's ids; where a step sees only those before it, the others are NaN.
std::vector<std::vector<double>> part_of(const std::vector<std::vector<double>>& all,
                                         std::size_t begin, std::size_t n, bool looks_back) {
  std::vector<std::vector<double>> out;
  for (std::size_t t = 0; t < n; ++t) {
    out.push_back(of_ids(all[begin + t], begin, n));
    if (looks_back)
      std::fill(out.back().begin() + static_cast<std::ptrdiff_t>(t), out.back().end(), kNone);
  }
  return out;
}

// [N,K] as N vectors.
std::vector<std::vector<double>> rows_of(const at::Tensor& x) {
  const at::Tensor values = x.detach().to(at::kDouble).contiguous();
  const double* p = values.const_data_ptr<double>();
  std::vector<std::vector<double>> rows;
  for (std::int64_t i = 0; i < values.size(0); ++i, p += values.size(1))
    rows.emplace_back(p, p + values.size(1));
  return rows;
}

// Σ over rows of the logit of each row's class against the rest.
at::Tensor chosen_logits(const at::Tensor& logits, const std::vector<std::int64_t>& predicted,
                         std::size_t first) {
  at::Tensor sign = at::empty({logits.size(0), 1}, at::kDouble);
  if (logits.size(1) == 1) {
    double* s = sign.mutable_data_ptr<double>();
    for (std::int64_t i = 0; i < logits.size(0); ++i)
      s[i] = predicted[first + static_cast<std::size_t>(i)] == 1 ? 1 : -1;
    return (logits * sign.to(logits.scalar_type())).sum();
  }
  at::Tensor chosen = at::zeros(logits.sizes(), at::kBool);
  bool* c = chosen.mutable_data_ptr<bool>();
  for (std::int64_t i = 0; i < logits.size(0); ++i)
    c[i * logits.size(1) + predicted[first + static_cast<std::size_t>(i)]] = true;
  const double never = -std::numeric_limits<double>::infinity();
  return logits.masked_fill(chosen.logical_not(), 0).sum() -
         at::logsumexp(logits.masked_fill(chosen, never), {1}).sum();
}

template <class Each>
void in_batches(std::size_t rows, std::int64_t batch, const Each& each) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, batch));
  for (std::size_t first = 0; first < rows; first += size)
    each(first, std::min(size, rows - first));
}

}  // namespace

Row encode(const std::vector<Word>& words, std::size_t skip, const models::ClassifierConfig& config,
           Truncate truncate) {
  Row row;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == skip || words[i].id == 0) continue;
    row.ids.push_back(words[i].id);
    row.places.push_back(i);
  }
  const auto most = static_cast<std::size_t>(config.max_length);
  if (row.ids.size() <= most) return row;
  const auto over = static_cast<std::ptrdiff_t>(row.ids.size() - most);
  const bool front = truncate == Truncate::kFront;
  row.ids.erase(front ? row.ids.begin() : row.ids.end() - over,
                front ? row.ids.begin() + over : row.ids.end());
  row.places.erase(front ? row.places.begin() : row.places.end() - over,
                   front ? row.places.begin() + over : row.places.end());
  return row;
}

std::vector<RowOutput> forward_rows(models::Classifier& model, const std::vector<Row>& rows,
                                    const Options& options, bool uniform_attention) {
  const at::NoGradGuard no_grad;
  models::Pass pass;
  pass.uniform_attention = uniform_attention;
  std::vector<RowOutput> outputs;
  outputs.reserve(rows.size());
  in_batches(rows.size(), options.batch, [&](std::size_t first, std::size_t n) {
    const Laid laid = lay_out(model, rows, first, n, options);
    const models::ClassifierOutput out = model.forward(laid.batch, pass);
    auto probabilities = rows_of(models::probabilities(out));
    const auto weights =
        out.weights.defined() ? rows_of(out.weights) : std::vector<std::vector<double>>();
    for (std::size_t i = 0; i < n; ++i) {
      RowOutput o{std::move(probabilities[i]), {}, 0, !weights.empty(), {}};
      if (o.attends) {
        o.weights = of_ids(weights[i], laid.begin[i], rows[first + i].ids.size());
        const double words = std::accumulate(o.weights.begin(), o.weights.end(), 0.0);
        if (!model.config().mask_padding)
          o.on_padding = std::accumulate(weights[i].begin(), weights[i].end(), 0.0) - words;
      }
      outputs.push_back(std::move(o));
    }
  });
  return outputs;
}

void add_row_self_attention(std::vector<RowOutput>& outputs, models::Classifier& model,
                            const std::vector<Row>& rows, const Options& options) {
  const bool looks_back =
      model.config().architecture == models::ClassifierArchitecture::kRecurrent &&
      model.config().cell == models::Cell::kLstmn;
  in_batches(rows.size(), options.batch, [&](std::size_t first, std::size_t n) {
    const Laid laid = lay_out(model, rows, first, n, options);
    const std::vector<models::SelfAttention> maps = model.self_attention(laid.batch);
    if (maps.empty()) return;
    for (std::size_t i = 0; i < n; ++i) {
      RowOutput& out = outputs[first + i];
      const std::size_t ids = rows[first + i].ids.size(), begin = laid.begin[i];
      const auto square = [&](const models::SelfAttention& map) {
        return rows_of(map.weights[static_cast<std::int64_t>(i)]);
      };
      for (const models::SelfAttention& map : maps)
        out.self_attention.push_back(
            {map.layer, map.head, part_of(square(map), begin, ids, looks_back)});
      if (!looks_back || out.attends || ids == 0) continue;
      const auto top = square(maps.back());
      const std::size_t last = model.config().mask_padding ? ids - 1 : top.size() - 1;
      out.weights = of_ids(top[last], begin, ids);
      if (last < begin + ids) out.weights[last - begin] = kNone;
      out.attends = true;
      out.on_padding = total_of(top[last]) - total_of(out.weights);
    }
  });
}

std::vector<std::vector<double>> gradient_rows(models::Classifier& model,
                                               const std::vector<Row>& rows,
                                               const std::vector<std::int64_t>& predicted,
                                               const Options& options) {
  const at::AutoGradMode grad(true);
  std::vector<std::vector<double>> products;
  products.reserve(rows.size());
  in_batches(rows.size(), options.batch, [&](std::size_t first, std::size_t n) {
    const Laid laid = lay_out(model, rows, first, n, options);
    const at::Tensor x = model.embed(laid.batch.ids).detach().set_requires_grad(true);  // [N,T,E]
    const models::ClassifierOutput out = model.forward_embedded(x, laid.batch.lengths, {});
    const at::Tensor z = chosen_logits(out.logits, predicted, first);
    const at::Tensor dx =
        torch::autograd::grad({z}, {x}).front();   // parameters keep their own gradients
    const auto values = rows_of((dx * x).sum(2));  // [N,T]
    for (std::size_t i = 0; i < n; ++i)
      products.push_back(of_ids(values[i], laid.begin[i], rows[first + i].ids.size()));
  });
  return products;
}

}  // namespace attend::explain
