#include "attend/ops/scores.h"

#include <ATen/ops/empty.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/decoding.h"
#include "ops/dispatch.h"

namespace attend {
namespace {

constexpr const char *kLogSoftmax = "attend::log_softmax_in_place",
                     *kBestOfRows = "attend::best_of_rows";

void check_scores(const char* op, const at::Tensor& scores) {
  if (!scores.defined() || scores.dim() != 2 || scores.size(1) < 1 || !scores.is_contiguous())
    fail_usage(std::string(op) + ": scores must be dense [N,V] with V of at least 1");
  if (const char* reason = why_not_fused({&scores}))
    fail_usage(std::string(op) + ": scores must be float or double on the CPU: " + reason);
}

}  // namespace

void log_softmax_in_place(const at::Tensor& scores) {
  check_scores(kLogSoftmax, scores);
  if (scores.scalar_type() != at::kFloat)
    fail_usage(std::string(kLogSoftmax) + ": scores must be float");
  kernels::log_softmax_rows(scores.mutable_data_ptr<float>(), scores.size(0), scores.size(1));
  note_fused(kLogSoftmax);
}

std::tuple<at::Tensor, at::Tensor> best_of_rows(const at::Tensor& scores, std::int64_t k) {
  check_scores(kBestOfRows, scores);
  if (k < 1)
    fail_usage(std::string(kBestOfRows) + ": k is " + std::to_string(k) + "; give 1 or more");
  const at::Tensor value = at::empty({scores.size(0), k}, scores.options()),
                   index = at::empty({scores.size(0), k}, at::kLong);
  with_scalar_type(scores, [&](auto zero) {
    using T = decltype(zero);
    kernels::BestOfRows<T> p;
    p.rows = scores.size(0), p.n = scores.size(1), p.k = k, p.x = scores.const_data_ptr<T>();
    p.value = value.mutable_data_ptr<T>(), p.index = index.mutable_data_ptr<std::int64_t>();
    kernels::best_of_rows(p);
  });
  note_fused(kBestOfRows);
  return {value, index};
}

}  // namespace attend
