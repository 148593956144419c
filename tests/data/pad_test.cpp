#include "attend/data/pad.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"

namespace attend::data {
namespace {

using testing::HasSubstr;

template <class T>
std::string message(const std::vector<std::vector<std::int64_t>>& sequences,
                    const PadOptions& options = {}) {
  try {
    pad_sequences<T>(sequences, options);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(PadSequences, NamesValueAndDtype) {
  EXPECT_EQ(message<std::int8_t>({{1}, {2, 128}}),
            "pad_sequences: sequence 1: id 128 does not fit int8 (-128…127): choose a wider dtype");
  EXPECT_THAT(message<std::uint8_t>({{-1}}), HasSubstr("id -1 does not fit uint8 (0…255)"));
  PadOptions options{4, End::kPost, End::kPre, 300.0};
  EXPECT_THAT(message<std::uint8_t>({{1}}, options),
              HasSubstr("padding value 300 does not fit uint8"));
  options.value = -0.5;  // cut to 0
  EXPECT_EQ(message<std::uint8_t>({{1}}, options), "");
  options.value = std::nan("");
  EXPECT_THAT(message<std::int32_t>({{1}}, options), HasSubstr("does not fit int32"));
  options.value = 9223372036854775808.0;  // 2^63
  EXPECT_THAT(message<std::int64_t>({{1}}, options), HasSubstr("does not fit int64"));
  options.value = -9223372036854775808.0;
  EXPECT_EQ(message<std::int64_t>({{1}}, options), "");
  options.value = 1e300;
  EXPECT_THAT(message<float>({{1}}, options), HasSubstr("does not fit float32"));
}

TEST(PadSequences, RefusesLengthsThatMakeNoSense) {
  EXPECT_THAT(message<float>({{1}}, {0}), HasSubstr("maxlen is 0"));
  EXPECT_THAT(message<float>({{1}}, {-3}), HasSubstr("maxlen is -3"));
  EXPECT_THAT(message<float>({}), HasSubstr("no sequences"));
  EXPECT_THAT(message<float>({{1}, {2}, {3}}, {INT64_MAX}), HasSubstr("too many"));
  EXPECT_EQ(pad_sequences<float>({}, {3}).columns, 3);
}

TEST(PadSequences, OnlyWhatIsKeptMustFit) {
  const PadOptions options{1, End::kPre, End::kPre, 0.0};
  EXPECT_EQ(pad_sequences<std::int8_t>({{1000, 1}}, options).values, std::vector<std::int8_t>{1});
}

}  // namespace
}  // namespace attend::data
