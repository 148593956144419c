// MultiheadAttention::prune_heads, apart from the forward pass.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/multihead_attention.h"

namespace attend::nn {
namespace {

/// Which of the query heads stay; kUsage when a head doesn't exist or none stays.
std::vector<bool> heads_that_stay(std::int64_t count, const std::vector<std::int64_t>& pruned) {
  std::vector<bool> stays(static_cast<std::size_t>(count), true);
  for (const std::int64_t head : pruned) {
    if (head < 0 || head >= count)
      fail_usage("attend::nn::MultiheadAttention: no head " + std::to_string(head) +
                 " to prune among H=" + std::to_string(count));
    stays[static_cast<std::size_t>(head)] = false;
  }
  if (std::none_of(stays.begin(), stays.end(), [](bool s) { return s; }))
    fail_usage("attend::nn::MultiheadAttention: pruning would leave no head");
  return stays;
}

/// Of every group of query heads that share a key head, whether it stays; half a group is refused.
std::vector<bool> groups_that_stay(const std::vector<bool>& heads, std::int64_t key_heads) {
  const std::size_t group = heads.size() / static_cast<std::size_t>(key_heads);
  std::vector<bool> stays;
  for (std::size_t g = 0; g < heads.size(); g += group) {
    for (std::size_t h = g; h < g + group; ++h)
      if (heads[h] != heads[g])
        fail_usage("attend::nn::MultiheadAttention: heads " + std::to_string(g) + " to " +
                   std::to_string(g + group - 1) +
                   " share a key head and can only be pruned together");
    stays.push_back(heads[g]);
  }
  return stays;
}

/// The rows of those heads in a matrix whose rows are heads · width, from row `start`.
at::Tensor rows_of(const std::vector<bool>& stays, std::int64_t width, std::int64_t start,
                   const at::Device& device) {
  std::vector<std::int64_t> rows;
  for (std::size_t h = 0; h < stays.size(); ++h)
    for (std::int64_t d = 0; stays[h] && d < width; ++d)
      rows.push_back(start + static_cast<std::int64_t>(h) * width + d);
  return at::tensor(rows, at::kLong).to(device);
}

/// A new leaf with these rows or columns of a parameter. Not set_data: a graph from before that is
/// still alive would go on expecting gradients of the old shape.
at::Tensor kept(const at::Tensor& parameter, std::int64_t dimension, const at::Tensor& rows) {
  return at::index_select(parameter.detach(), dimension, rows)
      .set_requires_grad(parameter.requires_grad());
}

}  // namespace

void MultiheadAttentionImpl::prune_heads(const std::vector<std::int64_t>& pruned) {
  const std::int64_t width = head_width(), heads = options.num_heads(), groups = key_heads();
  const std::vector<bool> stays = heads_that_stay(heads, pruned),
                          key_stays = groups_that_stay(stays, groups);
  const at::Device device = out_proj->weight.device();
  const at::Tensor query_rows = rows_of(stays, width, 0, device),
                   key_rows = rows_of(key_stays, width, 0, device);
  const at::Tensor in_rows = at::cat({query_rows, rows_of(key_stays, width, heads * width, device),
                                      rows_of(key_stays, width, (heads + groups) * width, device)});
  const at::NoGradGuard off;
  const auto keep = [&](const char* name, at::Tensor& parameter, std::int64_t dimension,
                        const at::Tensor& rows) {
    if (parameter.defined()) parameters_[name] = parameter = kept(parameter, dimension, rows);
  };
  keep("in_proj_weight", in_proj_weight, 0, in_rows);
  keep("in_proj_bias", in_proj_bias, 0, in_rows);
  keep("q_proj_weight", q_proj_weight, 0, query_rows);
  keep("k_proj_weight", k_proj_weight, 0, key_rows);
  keep("v_proj_weight", v_proj_weight, 0, key_rows);
  keep("bias_k", bias_k, 2, key_rows);
  keep("bias_v", bias_v, 2, key_rows);
  const auto left = query_rows.numel() / width;
  if (head_mask.defined())
    head_mask = at::index_select(head_mask, 0, rows_of(stays, 1, 0, head_mask.device()));
  LinearOptions smaller = out_proj->options;
  Linear rest(smaller.in_features(left * width));
  rest->to(out_proj->weight.device(), out_proj->weight.scalar_type());
  rest->train(is_training());
  rest->weight.copy_(at::index_select(out_proj->weight, 1, query_rows));
  if (rest->bias.defined()) rest->bias.copy_(out_proj->bias);
  out_proj = replace_module("out_proj", rest);
  options.head_width(width).num_heads(left);
  if (options.num_kv_heads() > 0) options.num_kv_heads(key_rows.numel() / width);
}

}  // namespace attend::nn
