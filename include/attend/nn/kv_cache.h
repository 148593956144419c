#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace attend::nn {

/// The projected keys and values that later queries of one attention layer go on reading. For inference: it writes in place,
/// so it refuses tensors that ask for a gradient.
class KVCache {
 public:
  enum class Kind {
    kGrowing,  // self-attention: every call appends its own keys and values
    kStatic,   // cross-attention: the first call projects the memory, the others read it
  };

  explicit KVCache(Kind kind = Kind::kGrowing) : kind_(kind) {}
  /// Goes on with the rooms of another cache, key and value [B,Hkv,capacity,D], whose first `length` places are filled. They
  /// are not copied: later calls write into them.
  KVCache(Kind kind, at::Tensor key, at::Tensor value, std::int64_t length);

  Kind kind() const { return kind_; }
  std::int64_t length() const { return length_; }  ///< keys held
  bool empty() const { return length_ == 0; }

  at::Tensor keys() const;  ///< [B,Hkv,length,D], a view; undefined when nothing was ever appended
  at::Tensor values() const;                               ///< [B,Hkv,length,Dv], a view
  const at::Tensor& key_room() const { return key_; }      ///< [B,Hkv,capacity,D]
  const at::Tensor& value_room() const { return value_; }  ///< [B,Hkv,capacity,Dv]

  /// key [B,Hkv,n,D] and value [B,Hkv,n,Dv] behind what is there. The memory doubles when it is full, so that n steps copy
  /// O(n) elements. Sizes that differ from what is there throw Error(kUsage).
  void append(const at::Tensor& key, const at::Tensor& value);

  /// Row r becomes what row rows[r] was: beams after a step of beam search, or a batch from which finished sentences were
  /// dropped (fewer rows) or in which one row stands for several beams (repeated). rows [B'] int64.
  void reorder(const at::Tensor& rows);

  /// Forgets all but the first `length` keys (a draft that was refused).
  void truncate(std::int64_t length);

 private:
  Kind kind_;
  std::int64_t length_ = 0;
  at::Tensor key_, value_;  // [B,Hkv,capacity,D]
};

/// reorder() for the caches of several layers.
void reorder(std::vector<KVCache>& caches, const at::Tensor& rows);

}  // namespace attend::nn
