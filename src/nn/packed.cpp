#include "attend/nn/packed.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

void check_packed_lengths(const char* op, const at::Tensor& lengths, std::int64_t most) {
  if (!lengths.defined() || lengths.dim() != 1 || lengths.scalar_type() != at::kLong)
    fail_usage(std::string(op) + ": lengths must be [B] int64");
  if (lengths.numel() > 0 &&
      (lengths.min().item<std::int64_t>() < 0 || lengths.max().item<std::int64_t>() > most))
    fail_usage(std::string(op) + ": lengths must be in 0…" + std::to_string(most));
}

/// Where row n of the packed batch stands in the padded one, as b · L + t: [N].
at::Tensor places(const at::Tensor& lengths, std::int64_t length) {
  const at::Tensor valid = at::arange(length, lengths.options()).lt(lengths.unsqueeze(1));  // [B,L]
  return at::nonzero(valid.flatten()).squeeze(1);
}

}  // namespace

at::Tensor pack(const at::Tensor& padded, const at::Tensor& lengths) {
  if (padded.dim() != 3) fail_usage("attend::nn::pack: padded must be [B,L,C]");
  check_packed_lengths("attend::nn::pack", lengths, padded.size(1));
  if (lengths.size(0) != padded.size(0))
    fail_usage("attend::nn::pack: lengths must be [B] with B=" + std::to_string(padded.size(0)));
  return at::index_select(padded.flatten(0, 1), 0, places(lengths, padded.size(1)));
}

at::Tensor unpack(const at::Tensor& rows, const at::Tensor& lengths, std::int64_t length) {
  check_packed_lengths("attend::nn::unpack", lengths, INT64_MAX);
  const std::int64_t longest = lengths.numel() > 0 ? lengths.max().item<std::int64_t>() : 0;
  if (length < 0) length = longest;
  if (length < longest)
    fail_usage("attend::nn::unpack: length " + std::to_string(length) +
               " does not hold the longest, " + std::to_string(longest));
  if (rows.dim() != 2 || rows.size(0) != lengths.sum().item<std::int64_t>())
    fail_usage("attend::nn::unpack: rows must be [N,C] with N the sum of lengths");
  const at::Tensor padded = at::zeros({lengths.size(0) * length, rows.size(1)}, rows.options());
  return padded.index_copy(0, places(lengths, length), rows)
      .unflatten(0, {lengths.size(0), length});
}

}  // namespace attend::nn
