#include "attend/data/pad.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "attend/base/error.h"

namespace attend::data {
namespace {

template <class T>
std::string type_name() {
  if (std::is_floating_point_v<T>) return "float" + std::to_string(8 * sizeof(T));
  return (std::is_signed_v<T> ? "int" : "uint") + std::to_string(8 * sizeof(T));
}

template <class T>
std::string range_text() {
  using Limits = std::numeric_limits<T>;
  if (std::is_floating_point_v<T>) return "finite";
  return std::to_string(Limits::lowest()) + "…" + std::to_string(Limits::max());
}

template <class T>
[[noreturn]] void fail_range(const std::string& what, const std::string& value) {
  fail_input("pad_sequences: " + what + " " + value + " does not fit " + type_name<T>() + " (" +
             range_text<T>() + "): choose a wider dtype");
}

std::string number_text(double value) {
  std::string text = std::to_string(value);
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

template <class T>
T padding_value(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isfinite(value) &&
        std::abs(value) > static_cast<double>(std::numeric_limits<T>::max()))
      fail_range<T>("the padding value", number_text(value));
    return static_cast<T>(value);
  } else {
    const double cut = std::trunc(value);  // as NumPy's cast
    // 2^digits is exact as a double where max() of 64 bits is not.
    const double above = std::ldexp(1.0, std::numeric_limits<T>::digits);
    const double lowest = static_cast<double>(std::numeric_limits<T>::lowest());
    if (!(cut >= lowest && cut < above)) fail_range<T>("the padding value", number_text(value));
    return static_cast<T>(cut);
  }
}

template <class T>
T checked_id(std::int64_t id, std::size_t row) {
  if constexpr (std::is_integral_v<T>) {
    bool fits = id >= static_cast<std::int64_t>(std::numeric_limits<T>::lowest());
    if constexpr (sizeof(T) < sizeof(std::int64_t))
      fits = fits && id <= static_cast<std::int64_t>(std::numeric_limits<T>::max());
    if (!fits) fail_range<T>("sequence " + std::to_string(row) + ": id", std::to_string(id));
  }
  return static_cast<T>(id);
}

std::int64_t width_of(const std::vector<std::vector<std::int64_t>>& sequences,
                      const PadOptions& options) {
  if (options.maxlen) {
    if (*options.maxlen < 1)
      fail_usage("pad_sequences: maxlen is " + std::to_string(*options.maxlen) +
                 "; give 1 or more");
    return *options.maxlen;
  }
  if (sequences.empty()) fail_usage("pad_sequences: no sequences; give maxlen");
  std::size_t longest = 0;
  for (const auto& sequence : sequences) longest = std::max(longest, sequence.size());
  return static_cast<std::int64_t>(longest);
}

}  // namespace

template <class T>
Padded<T> pad_sequences(const std::vector<std::vector<std::int64_t>>& sequences,
                        const PadOptions& options) {
  Padded<T> out;
  out.rows = static_cast<std::int64_t>(sequences.size());
  out.columns = width_of(sequences, options);
  const auto width = static_cast<std::size_t>(out.columns);
  if (width != 0 && sequences.size() > std::numeric_limits<std::int64_t>::max() / sizeof(T) / width)
    fail_usage("pad_sequences: " + std::to_string(out.rows) + " × " + std::to_string(width) +
               " values are too many; give a smaller maxlen");
  out.values.assign(sequences.size() * width, padding_value<T>(options.value));
  for (std::size_t row = 0; row < sequences.size(); ++row) {
    const auto& sequence = sequences[row];
    const std::size_t kept = std::min(sequence.size(), width);
    const std::size_t from = options.truncating == End::kPre ? sequence.size() - kept : 0;
    const std::size_t to = options.padding == End::kPre ? width - kept : 0;
    for (std::size_t i = 0; i < kept; ++i)
      out.values[row * width + to + i] = checked_id<T>(sequence[from + i], row);
  }
  return out;
}

#define ATTEND_PAD(T)                                                                \
  template Padded<T> pad_sequences<T>(const std::vector<std::vector<std::int64_t>>&, \
                                      const PadOptions&);
ATTEND_PAD(std::int8_t)
ATTEND_PAD(std::int16_t)
ATTEND_PAD(std::int32_t)
ATTEND_PAD(std::int64_t)
ATTEND_PAD(std::uint8_t)
ATTEND_PAD(std::uint16_t)
ATTEND_PAD(std::uint32_t)
ATTEND_PAD(float)
ATTEND_PAD(double)
#undef ATTEND_PAD

}  // namespace attend::data
