#include "attend/nn/kv_cache.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <string>
#include <utility>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

constexpr std::int64_t kFirstCapacity = 16;

/// `like` with `capacity` places for keys, the first of them filled from it.
at::Tensor grown(const at::Tensor& held, const at::Tensor& like, std::int64_t length,
                 std::int64_t capacity) {
  const at::Tensor more =
      at::empty({like.size(0), like.size(1), capacity, like.size(3)}, like.options());
  if (length > 0) more.narrow(2, 0, length).copy_(held.narrow(2, 0, length));
  return more;
}

void check_cached(const char* name, const at::Tensor& t, const at::Tensor& held) {
  if (t.dim() != 4) fail_usage(std::string("KVCache: ") + name + " must be [B,Hkv,n,D]");
  if (t.requires_grad() && at::GradMode::is_enabled())
    fail_usage(std::string("KVCache: ") + name +
               " asks for a gradient; decode under at::NoGradGuard");
  if (!held.defined()) return;
  for (const std::int64_t d : {0, 1, 3})
    if (t.size(d) != held.size(d))
      fail_usage(std::string("KVCache: ") + name + " has size " + std::to_string(t.size(d)) +
                 " in dimension " + std::to_string(d) + " but the cache holds " +
                 std::to_string(held.size(d)));
  if (t.scalar_type() != held.scalar_type() || t.device() != held.device())
    fail_usage(std::string("KVCache: ") + name +
               " has another dtype or device than what the cache holds");
}

}  // namespace

KVCache::KVCache(Kind kind, at::Tensor key, at::Tensor value, std::int64_t length)
    : kind_(kind), length_(length), key_(std::move(key)), value_(std::move(value)) {
  check_cached("key", key_, {});
  check_cached("value", value_, {});
  if (length < 0 || length > key_.size(2) || length > value_.size(2))
    fail_usage("KVCache: " + std::to_string(length) + " keys do not fit into rooms of " +
               std::to_string(std::min(key_.size(2), value_.size(2))));
}

at::Tensor KVCache::keys() const { return key_.defined() ? key_.narrow(2, 0, length_) : key_; }
at::Tensor KVCache::values() const {
  return value_.defined() ? value_.narrow(2, 0, length_) : value_;
}

void KVCache::append(const at::Tensor& key, const at::Tensor& value) {
  check_cached("key", key, key_);
  check_cached("value", value, value_);
  if (value.size(0) != key.size(0) || value.size(1) != key.size(1) || value.size(2) != key.size(2))
    fail_usage("KVCache: key and value must agree in B, Hkv and n");
  const at::NoGradGuard off;
  const std::int64_t more = key.size(2), needed = length_ + more;
  if (!key_.defined() || needed > key_.size(2)) {
    const std::int64_t held = key_.defined() ? key_.size(2) : 0;
    const std::int64_t capacity =
        kind_ == Kind::kStatic ? needed : std::max({needed, 2 * held, kFirstCapacity});
    key_ = grown(key_, key, length_, capacity);
    value_ = grown(value_, value, length_, capacity);
  }
  key_.narrow(2, length_, more).copy_(key);
  value_.narrow(2, length_, more).copy_(value);
  length_ = needed;
}

void KVCache::reorder(const at::Tensor& rows) {
  if (!key_.defined()) return;
  if (rows.dim() != 1 || rows.scalar_type() != at::kLong)
    fail_usage("KVCache: rows must be [B'] int64");
  if (rows.numel() > 0 &&
      (rows.min().item<std::int64_t>() < 0 || rows.max().item<std::int64_t>() >= key_.size(0)))
    fail_usage("KVCache: rows must be in [0, B=" + std::to_string(key_.size(0)) + ")");
  const at::NoGradGuard off;
  key_ = at::index_select(key_, 0, rows);
  value_ = at::index_select(value_, 0, rows);
}

void KVCache::truncate(std::int64_t length) {
  if (length < 0 || length > length_)
    fail_usage("KVCache: cannot truncate " + std::to_string(length_) + " keys to " +
               std::to_string(length));
  length_ = length;
}

void reorder(std::vector<KVCache>& caches, const at::Tensor& rows) {
  for (KVCache& cache : caches) cache.reorder(rows);
}

}  // namespace attend::nn
