#pragma once
#include <torch/csrc/autograd/custom_function.h>

#include <string_view>

#include "attend/ops/attention.h"
#include "ops/dispatch.h"

// AttentionOptions as a registered op takes them: one text for the schema, one list of parameters, and the ways between the
// two. An op's tensors come first, these behind them, in this order.
//
//   m.def("additive(Tensor query, …, " ATTEND_ATTENTION_SCHEMA ") -> (Tensor output, Tensor weights)");
//   Pair additive_cpu(const at::Tensor& query, …, ATTEND_ATTENTION_PARAMETERS) {
//     const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
//   AttentionResult additive(…, const AttentionOptions& o) { return attention_result(op.call(query, …, ATTEND_ATTENTION_FROM(o)), o); }
namespace attend {

#define ATTEND_ATTENTION_SCHEMA                                                               \
  "*, Tensor? mask=None, Tensor? bias=None, Tensor? query_lengths=None, Tensor? "             \
  "key_lengths=None, bool causal=False,"                                                      \
  " str alignment='last', int window_left=-1, int window_right=-1, float? scale=None, float " \
  "dropout=0., int seed=0,"                                                                   \
  " bool need_weights=False"

/// The same without names and defaults, for an op's own training and backward ops.
#define ATTEND_ATTENTION_PLAIN_SCHEMA                                                         \
  "Tensor? mask, Tensor? bias, Tensor? query_lengths, Tensor? key_lengths, bool causal, str " \
  "alignment,"                                                                                \
  " int window_left, int window_right, float? scale, float dropout, int seed, bool need_weights"

#define ATTEND_ATTENTION_PARAMETERS                                                               \
  [[maybe_unused]] const ::attend::OptionalTensor &mask,                                          \
      [[maybe_unused]] const ::attend::OptionalTensor &bias,                                      \
      [[maybe_unused]] const ::attend::OptionalTensor &query_lengths,                             \
      [[maybe_unused]] const ::attend::OptionalTensor &key_lengths, [[maybe_unused]] bool causal, \
      [[maybe_unused]] std::string_view alignment, [[maybe_unused]] std::int64_t window_left,     \
      [[maybe_unused]] std::int64_t window_right, [[maybe_unused]] std::optional<double> scale,   \
      [[maybe_unused]] double dropout, [[maybe_unused]] std::int64_t seed,                        \
      [[maybe_unused]] bool need_weights

#define ATTEND_ATTENTION_NAMES                                                                 \
  mask, bias, query_lengths, key_lengths, causal, alignment, window_left, window_right, scale, \
      dropout, seed, need_weights

#define ATTEND_ATTENTION_FROM(o)                                                                  \
  ::attend::or_none((o).mask), ::attend::or_none((o).bias), ::attend::or_none((o).query_lengths), \
      ::attend::or_none((o).key_lengths), (o).causal, ::attend::alignment_name((o).alignment),    \
      (o).window_left, (o).window_right, (o).scale, (o).dropout,                                  \
      static_cast<std::int64_t>((o).seed), (o).need_weights

/// "last" or "first".
std::string_view alignment_name(Alignment alignment);

/// Throws kUsage when alignment is neither "last" nor "first".
AttentionOptions attention_options(ATTEND_ATTENTION_PARAMETERS);

/// What a registered op returns, for C++: there, weights that were not asked for are an undefined tensor and not an empty one.
AttentionResult attention_result(AttentionResult result, const AttentionOptions& o);

/// The other way: weights that are undefined become an empty tensor like the output.
AttentionResult registered_result(AttentionResult result);

/// Saves what of the options is no tensor.
void save_options(torch::autograd::AutogradContext* ctx, const AttentionOptions& o);
/// Saves an op's own tensors for backward, behind them the four of the options in the order of the schema, and the rest.
void save_with_options(torch::autograd::AutogradContext* ctx,
                       torch::autograd::variable_list tensors, const AttentionOptions& o);

/// The options that were saved; `first` is where the four tensors start in `saved`.
AttentionOptions load_options(torch::autograd::AutogradContext* ctx,
                              const torch::autograd::variable_list& saved, std::size_t first);

}  // namespace attend
