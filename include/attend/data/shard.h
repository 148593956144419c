#pragma once
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "attend/data/batches.h"

namespace attend::data {

/// Writes pairs of token ids to a file that PairShard maps: for corpora larger than memory.
/// Layout, little-endian: "attend.pairs/1\n\0", the ids of all pairs (source, target, source, …) as
/// int32, zeros up to a multiple of 8, 2·pairs + 1 offsets into them as uint64, the numbers of
/// pairs and of ids as uint64, and the first 16 bytes again.
class PairShardWriter {
 public:
  /// Writes to PATH.part until finish. Throws kIo, naming path and reason.
  explicit PairShardWriter(std::string path);
  ~PairShardWriter();  // removes PATH.part when finish was not called
  PairShardWriter(const PairShardWriter&) = delete;
  PairShardWriter& operator=(const PairShardWriter&) = delete;

  /// Throws kBadInput for an id outside 0…2^31 − 1, kIo when the disk is full.
  void add(std::span<const std::int64_t> source, std::span<const std::int64_t> target);

  /// Completes the file and puts it at PATH, in place of an older one.
  void finish();

 private:
  void put(std::span<const std::int64_t> ids);
  void write(const void* bytes, std::size_t n);
  std::string path_;
  std::ofstream out_;
  std::vector<std::uint64_t> offsets_ = {0};
  bool is_finished_ = false;
};

/// A file of PairShardWriter, mapped: opening reads the offsets once, and only pages of pairs that
/// are used take memory. Const calls are thread-safe. The file must not change meanwhile.
class PairShard {
 public:
  /// Throws kIo when the file cannot be opened, kBadInput when it is not such a file, is cut short
  /// or has offsets that do not fit.
  explicit PairShard(const std::string& path);
  ~PairShard();
  PairShard(const PairShard&) = delete;
  PairShard& operator=(const PairShard&) = delete;

  std::size_t size() const { return pairs_; }
  /// Ids of pair i < size(); valid as long as the shard.
  std::span<const std::int32_t> source(std::size_t i) const;
  std::span<const std::int32_t> target(std::size_t i) const;
  /// For length_batches.
  std::vector<PairLength> lengths() const;

 private:
  std::span<const std::int32_t> part(std::size_t k) const;
  void* bytes_ = nullptr;
  std::size_t n_bytes_ = 0;
  std::size_t pairs_ = 0;
  const std::int32_t* ids_ = nullptr;
  const std::uint64_t* offsets_ = nullptr;
};

}  // namespace attend::data
