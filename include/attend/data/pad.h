#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace attend::data {

/// Which end of a sequence is padded or cut.
enum class End { kPre, kPost };

/// Keras' defaults (pad_sequences).
struct PadOptions {
  std::optional<std::int64_t> maxlen;  // none: the longest sequence
  End padding = End::kPre;
  End truncating = End::kPre;
  double value = 0.0;
};

/// Row-major [rows, columns].
template <class T>
struct Padded {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<T> values;
};

/// keras.utils.pad_sequences: every sequence brought to `maxlen` by cutting and padding at the ends
/// asked for. T is any of int8_t…int64_t, uint8_t…uint32_t, float, double. A padding value with a
/// fraction is cut towards zero for integer T, as NumPy does. Throws kBadInput when an id or the
/// padding value lies outside T, naming both; kUsage when maxlen is less than 1 or when there is
/// neither a sequence nor a maxlen.
template <class T>
Padded<T> pad_sequences(const std::vector<std::vector<std::int64_t>>& sequences,
                        const PadOptions& options = {});

}  // namespace attend::data
