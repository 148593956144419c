#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>

namespace attend::train {

/// What is computed once and read often: float32 [N,L,D].
struct CachedFeatures {
  std::string key;  // SHA-256 of all that decides the numbers
  std::int64_t images = 0, places = 0, width = 0;
  std::function<at::Tensor(std::int64_t begin, std::int64_t end)> compute;  // rows begin … end − 1
};

/// The features from FOLDER/KEY.safetensors (tensor "annotations"), mapped into memory, so that no more of them is in memory than is
/// in use and processes share it. Where that file is not there, or is not whole, it's made: rows are computed some at a time, and
/// the file gets its name when all are on the disk, so that an interrupted run or a second process never leaves or meets
/// a half-written one. The file must not be shortened while it's in use. Throws kIo when it cannot be made.
at::Tensor mapped_features(const CachedFeatures& features, const std::string& folder);

/// $ATTEND_CACHE/features and so on: data::cache_folder().
std::string feature_folder();

}  // namespace attend::train
