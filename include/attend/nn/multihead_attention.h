#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/dropout.h>
#include <attend/nn/kv_cache.h>
#include <attend/nn/linear.h>
#include <attend/nn/position.h>
#include <attend/ops/attention.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <utility>
#include <vector>

namespace attend::nn {

/// What need_weights returns.
enum class HeadWeights {
  kPerHead,  // [B,H,Lq,Lk]
  kMean,     // [B,Lq,Lk], the mean over the heads, as torch's average_attn_weights
};

/// Options of MultiheadAttention: torch::nn::MultiheadAttention's, and grouped heads, rotary positions, a head width of its own.
struct MultiheadAttentionOptions {
  MultiheadAttentionOptions(int64_t embed_dim, int64_t num_heads)
      : embed_dim_(embed_dim), num_heads_(num_heads), kdim_(embed_dim), vdim_(embed_dim) {}
  TORCH_ARG(int64_t, embed_dim);     ///< C, width of queries and output
  TORCH_ARG(int64_t, num_heads);     ///< H
  TORCH_ARG(double, dropout) = 0.0;  ///< on the weights, in training mode only
  TORCH_ARG(bool, bias) = true;      ///< of all projections
  TORCH_ARG(bool,
            add_bias_kv) = false;  ///< one learned key and value that every query may attend to
  TORCH_ARG(bool, add_zero_attn) = false;  ///< one key and value of zeros, likewise
  TORCH_ARG(int64_t, kdim);                ///< width of key; C unless given
  TORCH_ARG(int64_t, vdim);                ///< width of value; C unless given
  TORCH_ARG(int64_t, num_kv_heads) =
      0;  ///< Hkv, shared by H / Hkv query heads each (Ainslie et al. 2023); 0: H
  TORCH_ARG(int64_t, head_width) = 0;         ///< D; 0: C / H
  TORCH_ARG(Rotary, rotary) = Rotary::kNone;  ///< positions turned into queries and keys
  TORCH_ARG(double, rotary_base) = 10000;
  TORCH_ARG(HeadWeights, head_weights) = HeadWeights::kPerHead;
  TORCH_ARG(uint64_t, seed) = 0;  ///< of the initial weights and of the dropout
};

/// Multi-head attention (Vaswani et al. 2017, §3.2.2) on attend::sdpa, batch first:
///   head_h = sdpa(query W_h^Q, key W_h^K, value W_h^V),  output = concat(head_1 … head_H) W^O
/// Parameters and their names are torch.nn.MultiheadAttention's: in_proj_weight [(H+2Hkv)·D, C] (torch's [3C,C] when Hkv = H),
/// or q_proj_weight, k_proj_weight, v_proj_weight when kdim or vdim isn't C; in_proj_bias, out_proj.weight, out_proj.bias,
/// bias_k, bias_v. Initialised as torch's: Glorot-uniform, zero biases.
class MultiheadAttentionImpl : public torch::nn::Cloneable<MultiheadAttentionImpl> {
 public:
  MultiheadAttentionImpl(int64_t embed_dim, int64_t num_heads)
      : MultiheadAttentionImpl(MultiheadAttentionOptions(embed_dim, num_heads)) {}
  explicit MultiheadAttentionImpl(const MultiheadAttentionOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// query [B,Lq,C], key [B,Lk,kdim], value [B,Lk,vdim] → (output [B,Lq,C], weights). Self-attention is one projection when
  /// all three are the same tensor. `visible` says who sees whom (its dropout and seed must be left alone: the module's mode
  /// decides); need_weights returns the weights before dropout, per head. A query that sees no key gives out_proj's bias.
  /// With a cache (inference only): a growing one appends this call's keys and attends to all it holds, lengths and masks
  /// speak of those; a static one projects key and value in its first call and ignores them in later ones.
  /// `pass` gives mode, seed and step of the dropout from outside (a resumed training repeats them); without it they are the
  /// module's own.
  AttentionResult forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const AttentionOptions& visible = {}, KVCache* cache = nullptr,
                          const Pass* pass = nullptr);

  /// A static cache that holds the keys and values of memory [B,Lk,C], as forward's first call with an empty one fills it.
  KVCache remember(const at::Tensor& memory) const;

  /// Self-attention of a ragged batch without projecting its padding: rows [N,C] of all sequences one after the other (see
  /// attend::nn::pack), lengths [B] int64, N = Σ lengths → (output [N,C], weights [B,H,L,L] padded to the longest).
  AttentionResult forward_packed(const at::Tensor& rows, const at::Tensor& lengths,
                                 const AttentionOptions& visible = {}, const Pass* pass = nullptr);

  /// Removes these heads for good (Michel et al. 2019): the projections shrink, the others' output is unchanged as if the
  /// pruned heads' output were 0. With grouped heads whole groups only. Later calls number the heads that are left. An
  /// optimizer must be made anew. Throws Error(kUsage) when a head doesn't exist or none would be left.
  void prune_heads(const std::vector<int64_t>& heads);

  int64_t head_width() const;  ///< D
  int64_t key_heads() const;   ///< Hkv

  MultiheadAttentionOptions options;  ///< num_heads, num_kv_heads and head_width follow prune_heads
  at::Tensor in_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias, bias_k,
      bias_v;
  Linear out_proj{nullptr};
  at::Tensor
      head_mask;  ///< [H] or undefined: factor of each head's output (0 switches it off); differentiable; not saved
  int64_t step = 0;  ///< training calls so far: which dropout comes next

 private:
  struct Heads {
    at::Tensor query, key, value;  // [B,H,Lq,D] [B,Hkv,Lk,D] [B,Hkv,Lk,D]
  };
  bool packed() const;
  void check(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
             bool needs_key) const;
  at::Tensor project(const at::Tensor& input, int64_t first, int64_t count) const;
  std::pair<at::Tensor, at::Tensor> project_keys(const at::Tensor& key,
                                                 const at::Tensor& value) const;
  Heads project_all(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    bool needs_key) const;
  AttentionResult attend_heads(Heads heads, const AttentionOptions& visible, const Pass* pass);
  AttentionOptions add_keys(Heads& heads, const AttentionOptions& visible) const;
};
TORCH_MODULE(MultiheadAttention);

}  // namespace attend::nn
