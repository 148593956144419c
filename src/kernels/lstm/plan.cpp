#include <algorithm>
#include <numeric>

#include "attend/kernels/lstm.h"
#include "kernels/lstm/layout.h"

namespace attend::kernels {
namespace {

/// Below this much work per worker one more thread costs more (waking it: 5 to 50 µs) than it saves.
constexpr std::int64_t kFlopsPerWorker = 1'000'000;

std::int64_t sensible_workers(const LstmShape& s, std::int64_t pairs, int workers) {
  const std::int64_t flops = pairs * 8 * s.hidden * (s.hidden + s.input);
  return std::clamp<std::int64_t>(flops / kFlopsPerWorker, 1,
                                  std::min<std::int64_t>(workers, s.batch));
}

void count_active(LstmPlan::Slice& slice) {
  const std::int64_t longest = slice.lengths.empty() ? 0 : slice.lengths.front();
  slice.offset.assign(1, 0);
  auto rows = static_cast<std::int64_t>(slice.rows.size());
  for (std::int64_t s = 0; s < longest; ++s) {
    while (slice.lengths[rows - 1] <= s) --rows;
    slice.active.push_back(rows);
    slice.offset.push_back(slice.offset.back() + rows);
  }
}

}  // namespace

LstmPlan::LstmPlan(const LstmShape& shape, const std::int64_t* lengths, bool reverse, int workers)
    : shape_(shape), reverse_(reverse) {
  if (shape.batch == 0) return;
  const auto length = [&](std::int64_t b) { return lengths ? lengths[b] : shape.steps; };
  std::vector<std::int64_t> order(shape.batch);
  std::iota(order.begin(), order.end(), 0);
  if (lengths)
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return lengths[a] > lengths[b]; });
  std::int64_t pairs = 0;
  for (const auto b : order) pairs += length(b);
  slices_.resize(sensible_workers(shape, pairs, workers));
  const auto n = static_cast<std::int64_t>(slices_.size());
  for (std::int64_t i = 0; i < shape.batch; ++i) {
    // Sorted rows are dealt in turn; without lengths each worker takes a block of neighbours.
    Slice& slice = slices_[lengths ? i % n : i * n / shape.batch];
    slice.rows.push_back(order[i]);
    slice.lengths.push_back(length(order[i]));
  }
  for (auto& slice : slices_) count_active(slice);
}

std::int64_t LstmPlan::saved_size() const {
  const LstmLayout layout(shape_);
  LstmPieces<float> pieces(nullptr);
  for (const auto& slice : slices_) LstmSaved<float>().take(pieces, layout, slice);
  return pieces.used();
}

std::int64_t LstmPlan::forward_workspace_size(bool training) const {
  const LstmLayout layout(shape_);
  LstmPieces<float> pieces(nullptr);
  LstmPacked<float>().take(pieces, shape_.hidden + shape_.input, layout.forward_columns);
  for (const auto& slice : slices_)
    LstmForwardScratch<float>().take(pieces, layout, slice, training);
  return pieces.used();
}

std::int64_t LstmPlan::backward_workspace_size() const {
  const LstmLayout layout(shape_);
  LstmPieces<float> pieces(nullptr);
  LstmPacked<float>().take(pieces, 4 * shape_.hidden, layout.backward_columns);
  for (const auto& slice : slices_)
    LstmBackwardScratch<float>().take(pieces, shape_, layout, slice);
  return pieces.used();
}

}  // namespace attend::kernels
