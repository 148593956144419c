#include "attend/models/grid_steps.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace attend::models {

void reorder(Decoding& decoding, const at::Tensor& parents) {
  for (at::Tensor& rows : decoding.rows) {
    const at::Tensor first =
        at::arange(rows.size(0), parents.options()).unsqueeze(1) * rows.size(1);  // [B,1]
    rows = rows.flatten(0, 1)
               .index_select(0, (first + parents).flatten())
               .unflatten(0, {parents.size(0), parents.size(1)});
  }
}

void GridSteps::start() {
  if (at_start_) return;
  const at::NoGradGuard off;
  decoding_ = begin();
  at_start_ = true;
  grid_ = sources(), width_ = 1;
  places_.clear();
  for (std::int64_t i = 0; i < grid_; ++i) places_.push_back({i, 0});
}

void GridSteps::keep_sources(const std::vector<std::int64_t>& kept) {
  const at::Tensor rows = at::tensor(kept, at::kLong);
  for (at::Tensor& x : decoding_.memory) x = x.index_select(0, rows);
  for (at::Tensor& x : decoding_.rows) x = x.index_select(0, rows);
  std::vector<std::int64_t> moved(static_cast<std::size_t>(grid_), -1);
  for (std::size_t i = 0; i < kept.size(); ++i)
    moved[static_cast<std::size_t>(kept[i])] = static_cast<std::int64_t>(i);
  for (Place& place : places_) place.source = moved[static_cast<std::size_t>(place.source)];
  grid_ = static_cast<std::int64_t>(kept.size());
}

StepResult GridSteps::step(const at::Tensor& tokens, const at::Tensor& parents) {
  const at::NoGradGuard off;
  at_start_ = false;
  const std::int64_t rows = tokens.size(0);
  const std::int64_t *token = tokens.const_data_ptr<std::int64_t>(),
                     *parent = parents.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> in_use;  // sources that have rows; parents come in order of sources
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t source = places_[static_cast<std::size_t>(parent[r])].source;
    if (std::find(in_use.begin(), in_use.end(), source) == in_use.end()) in_use.push_back(source);
  }
  std::sort(in_use.begin(), in_use.end());
  if (4 * static_cast<std::int64_t>(in_use.size()) <= 3 * grid_) keep_sources(in_use);

  std::vector<Place> places;
  std::vector<std::int64_t> used(static_cast<std::size_t>(grid_), 0);
  std::int64_t width = 1;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t source = places_[static_cast<std::size_t>(parent[r])].source;
    const std::int64_t slot = used[static_cast<std::size_t>(source)]++;
    places.push_back({source, slot});
    width = std::max(width, slot + 1);
  }
  at::Tensor next = at::full({grid_, width}, kPadding, at::kLong),
             from = at::zeros({grid_, width}, at::kLong);
  std::vector<std::int64_t> flat;
  bool same = width == width_;  // every row goes on in its own slot: nothing to reorder
  for (std::int64_t r = 0; r < rows; ++r) {
    const Place place = places[static_cast<std::size_t>(r)];
    const std::int64_t at = place.source * width + place.slot,
                       slot = places_[static_cast<std::size_t>(parent[r])].slot;
    next.mutable_data_ptr<std::int64_t>()[at] = token[r];
    from.mutable_data_ptr<std::int64_t>()[at] = slot;
    same = same && slot == place.slot;
    flat.push_back(at);
  }
  if (!same) reorder(decoding_, from);
  places_ = std::move(places), width_ = width;
  const DecodingStep out = advance(decoding_, next);
  const bool is_full = rows == grid_ * width;  // then row r stands in place r
  const at::Tensor chosen = is_full ? at::Tensor() : at::tensor(flat, at::kLong);
  const auto rows_of = [&](const at::Tensor& x) {
    const at::Tensor all = x.flatten(0, 1);
    return is_full ? all : all.index_select(0, chosen);
  };
  return {rows_of(out.log_probabilities),
          out.weights.defined() ? rows_of(out.weights) : at::Tensor()};
}

}  // namespace attend::models
