#pragma once
#include <algorithm>
#include <cstdint>

#include "attend/base/threads.h"
#include "attend/kernels/sdpa.h"

namespace attend::kernels {

/// How the work is shared out: tasks are (team of key heads) × (part of the keys).
///
/// A part is some chunks of the keys. A team is one key head of one row of the batch; but those that share their places of the
/// bias' gradient form a group, whose teams take several each, one after the other, and add to a sum of their own.
struct Shares {
  std::int64_t chunk, chunks, parts;    // keys a chunk, chunks of a head, parts of the keys
  std::int64_t batches = 1, heads = 1;  // rows of the batch and key heads of a group
  std::int64_t batch_groups, head_groups, teams;  // groups, and teams of each
  std::int64_t bias_size = 0;                     // elements of one sum

  template <class I>
  explicit Shares(const SdpaBackward<I>& p) {
    constexpr std::int64_t kLeast = 128, kMost = 8, kShareStep = 64;
    const SdpaForward<I>& f = p.forward;
    const ScoreStrides& bias = p.grad_bias_strides;
    if (p.grad_bias) {
      if (bias.batch == 0) batches = std::max<std::int64_t>(1, f.batch);
      if (bias.head == 0) heads = std::max<std::int64_t>(1, f.key_heads);
      bias_size = 1 + (f.batch - 1) * bias.batch + (f.heads - 1) * bias.head +
                  (f.queries - 1) * bias.row + (f.keys - 1) * bias.column;
    }
    batch_groups = f.batch / batches, head_groups = f.key_heads / heads;
    const std::int64_t groups = std::max<std::int64_t>(1, batch_groups * head_groups);
    teams = std::min(batches * heads, std::max<std::int64_t>(1, kMost / groups));
    chunk = std::max(kLeast, (f.keys + kMost * kShareStep - 1) / (kMost * kShareStep) * kShareStep);
    chunks = std::max<std::int64_t>(1, (f.keys + chunk - 1) / chunk);
    const std::int64_t tasks = groups * teams;
    parts = tasks >= threads() ? 1 : std::min(chunks, (2 * threads() + tasks - 1) / tasks);
    if (p.grad_bias && bias.column == 0) parts = 1;  // all keys share a place
  }
  std::int64_t tasks() const { return batch_groups * head_groups * teams * parts; }
  std::int64_t first_chunk(std::int64_t part) const { return chunks * part / parts; }
  /// Elements of the workspace for a dQ of each chunk, and for the sums of teams.
  template <class I>
  std::int64_t chunk_gradients(const SdpaForward<I>& f) const {
    return parts == 1 ? 0 : f.batch * f.heads * chunks * f.queries * f.width;
  }
  std::int64_t team_sums() const { return teams == 1 ? 0 : teams * bias_size; }
};

}  // namespace attend::kernels
