// Scaled dot-product attention, backward: include/attend/kernels/sdpa.h has the equations.
//
// One task is a key head of a row of the batch, or a part of its keys where there are fewer heads than threads: it alone writes
// the dK and dV of those keys. dQ is summed over chunks of keys that depend on the shape only, in their order, so that the bits
// do not depend on the number of threads; parts leave a dQ for each chunk in the workspace.
// For each block of queries the scores are made again (transposed, as in forward.cpp), and three products share them:
// dV += Pᵀ dO and dK += dSᵀ Q by outer_tile, dQᵀ += K dS by value_tile. scale is folded into dOᵀ, so dS comes out scaled; where
// the bias has a gradient, which is dS as it is, scale follows after that. With bfloat16 pairs (kernels/sdpa/bfloat16_dot.h) what is
// summed over lies in pairs: Qᵀ, dOᵀ, K and V by columns, P, dS, Q and dO by queries for dV and dK, dS and K by keys for dQ.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sdpa/backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "attend/base/threads.h"
#include "attend/kernels/sdpa.h"
#include "kernels/attention/visible.h"
#include "kernels/sdpa/block-inl.h"
#include "kernels/sdpa/gradient-inl.h"
#include "kernels/sdpa/shares.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// What the next block of queries needs, and a share of the next key head's rows.
template <int QV, class I>
Ahead next_block(const SdpaBackward<I>& p, std::int64_t batch_head, std::int64_t q) {
  using T = Accumulator<I>;
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<I>& f = p.forward;
  Ahead ahead;
  const std::int64_t after = std::min(batch_head + 1, f.batch * f.heads - 1);
  const bool same = q + kQueries < f.queries;
  const std::int64_t first = same ? q + kQueries : 0, last = std::min(first + kQueries, f.queries);
  const BackwardRows<I> next(p, same ? batch_head : after);
  ahead.add(next.query, first, last, f.width);
  ahead.add(next.grad_output, first, last, f.value_width);
  ahead.add(next.output, first, last, f.value_width);
  ahead.add(next.grad_query, first, last, f.width);
  if (head_bytes(f) <= kMostAhead) {
    const std::int64_t group = f.heads / f.key_heads, kv = after / group;
    const HeadRows<I> then(f, after);
    const std::int64_t from = f.keys * q / f.queries,
                       to = f.keys * std::min(q + kQueries, f.queries) / f.queries;
    ahead.add(then.key, from, to, f.width);
    ahead.add(then.value, from, to, f.value_width);
    ahead.add(Rows<T>{p.grad_key + kv * f.keys * f.width, f.width}, from, to, f.width);
    ahead.add(Rows<T>{p.grad_value + kv * f.keys * f.value_width, f.value_width}, from, to,
              f.value_width);
  }
  const std::int64_t key_blocks = (f.keys + kKeyBlock - 1) / kKeyBlock;
  ahead.spread(2 * (f.keys / kTile<QV>)+key_blocks * (f.width / kTile<QV>));
  return ahead;
}

/// One part of one key head; `task` counts batch × key heads.
template <int QV, class I, class T>
void run_part(const SdpaBackward<I>& p, const Shares& shares, std::int64_t task, std::int64_t part,
              T* scratch, T* chunk_gradients) {
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<I>& f = p.forward;
  const std::int64_t group = f.heads / f.key_heads, b = task / f.key_heads;
  const std::int64_t from = task * f.keys + shares.first_chunk(part) * shares.chunk;
  const std::int64_t to =
      task * f.keys + std::min(f.keys, shares.first_chunk(part + 1) * shares.chunk);
  std::fill(p.grad_key + from * f.width, p.grad_key + to * f.width, T{0});
  std::fill(p.grad_value + from * f.value_width, p.grad_value + to * f.value_width, T{0});
  const bool large = 2 * head_bytes(f) * f.batch * f.heads >= kLeastAhead;
  for (std::int64_t h = task % f.key_heads * group; h < (task % f.key_heads + 1) * group; ++h)
    for (std::int64_t q = 0; q < f.queries; q += kQueries) {
      const std::int64_t head = b * f.heads + h;
      Ahead ahead;
      if (large) ahead = next_block<QV>(p, head, q);
      T* chunks =
          chunk_gradients ? chunk_gradients + head * shares.chunks * f.queries * f.width : nullptr;
      with_tile<QV, T>(f.queries - q, [&](auto vectors) {
        BackwardBlock<vectors, I>(p, b, h, q, scratch, ahead).run(shares, part, chunks);
      });
    }
}

/// One part of the keys of all that a team takes.
template <int QV, class I, class T>
void run_team(const SdpaBackward<I>& p, const Shares& shares, std::int64_t task, T* scratch,
              T* chunk_gradients) {
  const std::int64_t part = task % shares.parts, team = task / shares.parts % shares.teams,
                     group = task / shares.parts / shares.teams;
  const std::int64_t b = group / shares.head_groups * shares.batches,
                     kv = group % shares.head_groups * shares.heads;
  const std::int64_t members = shares.batches * shares.heads;
  for (std::int64_t m = members * team / shares.teams; m < members * (team + 1) / shares.teams; ++m)
    run_part<QV>(p, shares, (b + m / shares.heads) * p.forward.key_heads + kv + m % shares.heads,
                 part, scratch, chunk_gradients);
}

/// The bias' gradient from the sums of several teams, each a team's whole array.
template <class T>
void add_teams(const Shares& shares, const T* sums, T* grad_bias) {
  constexpr std::int64_t kStretch = 1 << 14;
  share_out((shares.bias_size + kStretch - 1) / kStretch, 1, [&](std::int64_t i, int) {
    const std::int64_t from = i * kStretch, to = std::min(from + kStretch, shares.bias_size);
    std::copy(sums + from, sums + to, grad_bias + from);
    for (std::int64_t t = 1; t < shares.teams; ++t)
      for (std::int64_t at = from; at < to; ++at) grad_bias[at] += sums[t * shares.bias_size + at];
  });
}

template <int QV, class I>
void run_all(const SdpaBackward<I>& p) {
  using T = Accumulator<I>;
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<I>& f = p.forward;
  const Shares shares(p);
  const std::int64_t tasks = shares.tasks(), scratch = scratch_of(p, kQueries);
  T* const after_scratch = p.workspace + threads() * scratch;
  T* const chunk_gradients = shares.parts == 1 ? nullptr : after_scratch;
  T* const sums = shares.teams == 1 ? p.grad_bias : after_scratch + shares.chunk_gradients(f);
  if (p.grad_bias)
    share_out(shares.teams, 1, [&](std::int64_t i, int) {
      std::fill_n(sums + i * shares.bias_size, shares.bias_size, T{0});
    });
  const std::int64_t chunk = std::max<std::int64_t>(1, tasks / 16);
  share_out(tasks, chunk, [&](std::int64_t i, int worker) {
    SdpaBackward<I> mine = p;
    if (p.grad_bias) mine.grad_bias = sums + i / shares.parts % shares.teams * shares.bias_size;
    run_team<QV>(mine, shares, i, p.workspace + worker * scratch, chunk_gradients);
  });
  if (shares.teams > 1) add_teams(shares, sums, p.grad_bias);
  if (!chunk_gradients) return;
  const std::int64_t blocks = (f.queries + kQueries - 1) / kQueries;
  share_out(f.batch * f.heads * blocks, 1, [&](std::int64_t i, int worker) {
    const std::int64_t head = i / blocks;
    Ahead none;
    BackwardBlock<QV, I>(p, head / f.heads, head % f.heads, i % blocks * kQueries,
                         p.workspace + worker * scratch, none)
        .add_chunks(shares, chunk_gradients + head * shares.chunks * f.queries * f.width);
  });
}

/// Four vectors of queries from here on; where the two cross was taken from a prototype.
constexpr std::int64_t kLongSequence = 128;

template <class I>
void backward(const SdpaBackward<I>& p) {
  note_simd_target(HWY_TARGET);
  note_bfloat16_dot(uses_pairs(p.forward, /*backward=*/true));
  const SdpaForward<I>& f = p.forward;
  if (f.batch == 0 || f.heads == 0) return;
  if constexpr (kRegisters == 32)
    if (f.queries >= kLongSequence) return run_all<4, I>(p);
  run_all<2, I>(p);
}

void backward_float(const SdpaBackward<float>& p) { backward(p); }
void backward_double(const SdpaBackward<double>& p) { backward(p); }
void backward_bfloat16(const SdpaBackward<BFloat16>& p) { backward(p); }
template <class I>
std::int64_t workspace_of(const SdpaBackward<I>& p) {
  const Shares shares(p);
  return scratch_of(p, 4 * kLanes<Accumulator<I>>) * threads() + shares.chunk_gradients(p.forward) +
         shares.team_sums();
}
std::int64_t backward_scratch_float(const SdpaBackward<float>& p) { return workspace_of(p); }
std::int64_t backward_scratch_double(const SdpaBackward<double>& p) { return workspace_of(p); }
std::int64_t backward_scratch_bfloat16(const SdpaBackward<BFloat16>& p) { return workspace_of(p); }

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_double);
HWY_EXPORT(backward_bfloat16);
HWY_EXPORT(backward_scratch_float);
HWY_EXPORT(backward_scratch_double);
HWY_EXPORT(backward_scratch_bfloat16);

void sdpa_backward(const SdpaBackward<float>& p) { HWY_DYNAMIC_DISPATCH(backward_float)(p); }
void sdpa_backward(const SdpaBackward<double>& p) { HWY_DYNAMIC_DISPATCH(backward_double)(p); }
void sdpa_backward(const SdpaBackward<BFloat16>& p) { HWY_DYNAMIC_DISPATCH(backward_bfloat16)(p); }

template <>
std::int64_t sdpa_backward_workspace(const SdpaBackward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(backward_scratch_float)(p);
}
template <>
std::int64_t sdpa_backward_workspace(const SdpaBackward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(backward_scratch_double)(p);
}
template <>
std::int64_t sdpa_backward_workspace(const SdpaBackward<BFloat16>& p) {
  return HWY_DYNAMIC_DISPATCH(backward_scratch_bfloat16)(p);
}
}  // namespace attend::kernels
#endif
