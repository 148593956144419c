// The reader against files broken by hand, one for each rule, against every truncation and every flipped header
// byte; the writer against the reader. Agreement with the safetensors package: safetensors_pytest.py.
// Mutations killed (planted, and seen to fail): no check of the header's length against the file; offsets compared
// without sorting; a hole accepted; the last offset not compared with the file; unchecked product of the shape;
// duplicate names accepted; NUL ends the header; BOOL bytes unchecked; header not padded; sorted by name only.
#include "attend/interop/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "attend/base/error.h"
#include "attend/base/file.h"

namespace attend::interop {
namespace {

using testing::HasSubstr;

std::string with_header(const std::string& json, std::size_t data_bytes) {
  const std::uint64_t n = json.size();
  std::string bytes(reinterpret_cast<const char*>(&n), 8);
  return bytes + json + std::string(data_bytes, '\1');
}

std::string good_json() {
  return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
}

/// The message of the refusal, checked to be kBadInput, one line, and to name the file.
std::string refusal(const std::string& bytes) {
  try {
    parse_safetensors(bytes, "x.safetensors");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput) << e.what();
    EXPECT_THAT(e.what(), testing::StartsWith("x.safetensors: "));
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "accepted";
}

struct Bad {
  std::string json;
  std::size_t data;
  std::string message;
};

TEST(Safetensors, EveryRuleHasItsMessage) {
  const std::string t = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::vector<Bad> table{
      {"", 0, "doesn't start with '{'"},
      {" {}", 0, "doesn't start with '{'"},
      {"[]", 0, "doesn't start with '{'"},
      {"{", 0, "not valid JSON at byte"},
      {"{}x", 0, "not valid JSON at byte"},
      {std::string("{}\0 ", 4), 0, "NUL byte"},
      {"{\"\xff\":{" + t + "}}", 8, "not valid JSON"},
      {R"({"a":1})", 0, "has a number where a tensor's object belongs"},
      {R"({"a":[]})", 0, "an array"},
      {R"({"a":null})", 0, "null"},
      {R"({"a":"x"})", 0, "a string"},
      {"{\"a\":{" + t + "},\"a\":{" + t + "}}", 8, "key \"a\" comes twice in the header"},
      {R"({"__metadata__":{"x":"1","x":"2"}})", 0, "key \"x\" comes twice in __metadata__"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "comes twice"},
      {R"({"__metadata__":{"x":1}})", 0, "must map strings to strings"},
      {R"({"__metadata__":{"x":{}}})", 0, "must map strings to strings"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, "comes twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8, "comes twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}})", 8,
       "comes twice"},
      {"{\"a\":{" + t + ",\"extra\":1}}", 8, "tensor \"a\": unknown key \"extra\""},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8, "tensor \"a\": dtype is missing"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, "shape is missing"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "data_offsets is missing"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "must be two numbers"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8, "must be two numbers"},
      {R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8,
       "dtype \"F33\" is not one of F64"},
      {R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8, "dtype has a number"},
      {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "shape has a number"},
      {R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", 8, "shape has a string"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8,
       "a number with a fraction"},
      {R"({"a":{"dtype":"F32","shape":[1e1],"data_offsets":[0,8]}})", 8,
       "a number with a fraction"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "an array"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}})", 8,
       "beyond 64 bits"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
       "need 12 bytes but data_offsets span 8"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", 8, "need 16 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "not inside the data"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7,
       "not inside the data's 7 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9,
       "end at byte 8 of the data, which has 9"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "start at 4, expected 0"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
       7, "tensor \"b\": data_offsets start at 3, expected 4"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}})",
       7, "tensor \"b\": data_offsets start at 5, expected 4"},
      {R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 0, "not inside"},
      {"{}", 1, "end at byte 0 of the data, which has 1"},
  };
  for (const Bad& bad : table)
    EXPECT_THAT(refusal(with_header(bad.json, bad.data)), HasSubstr(bad.message)) << bad.json;
  std::string ones;
  for (int i = 0; i < 65; ++i) ones += i == 0 ? "1" : ",1";
  EXPECT_THAT(refusal(with_header(
                  R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", 1)),
              HasSubstr("more than 64 dimensions"));
  EXPECT_THAT(refusal(with_header("{\"a\":" + std::string(100'000, '['), 0)),
              HasSubstr("an array"));
}

TEST(Safetensors, LengthsAndOtherFormatsAreRefusedBeforeAnythingIsRead) {
  EXPECT_THAT(refusal(""), HasSubstr("only 0 bytes"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("only 7 bytes"));
  const auto prefixed = [](std::uint64_t n) {
    return std::string(reinterpret_cast<const char*>(&n), 8) + "{}";
  };
  EXPECT_THAT(refusal(prefixed(3)), HasSubstr("but only 2 bytes follow"));
  EXPECT_THAT(refusal(prefixed(100'000'000)), HasSubstr("but only 2 bytes follow"));
  EXPECT_THAT(refusal(prefixed(100'000'001)), HasSubstr("more than the 100000000 allowed"));
  EXPECT_THAT(refusal(prefixed(~std::uint64_t{0})), HasSubstr("more than the 100000000 allowed"));
  EXPECT_THAT(refusal("PK\x03\x04" + std::string(40, '\0')), HasSubstr("zip archive"));
  EXPECT_THAT(refusal("\x80\x02}q\x01."), HasSubstr("pickle"));
  EXPECT_THAT(refusal("\x89HDF\r\n\x1a\n" + std::string(40, '\0')), HasSubstr("HDF5"));
  EXPECT_THAT(refusal("PK\x03\x04" + std::string(40, '\0')), HasSubstr("save_file"));  // the mend
  std::string bytes = with_header(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2);
  bytes.back() = '\2';
  EXPECT_THAT(refusal(bytes), HasSubstr("BOOL byte is neither 0 nor 1"));
}

TEST(Safetensors,
     AHeaderOf640BytesIsNoPickle) {  // its length begins 80 02, as a pickle of protocol 2 does
  std::string json = good_json();
  json.resize(640, ' ');
  EXPECT_EQ(refusal(with_header(json, 11)), "accepted");
}

at::Tensor ramp(at::IntArrayRef shape, at::ScalarType type) {
  std::int64_t n = 1;
  for (const std::int64_t s : shape) n *= s;
  return at::arange(n).reshape(shape).to(type);
}

SafetensorsFile every_dtype() {
  SafetensorsFile file;
  const std::vector<std::pair<std::string, at::ScalarType>> types{
      {"f64", at::kDouble}, {"f32", at::kFloat}, {"f16", at::kHalf},  {"bf16", at::kBFloat16},
      {"i64", at::kLong},   {"i32", at::kInt},   {"i16", at::kShort}, {"i8", at::kChar},
      {"u8", at::kByte},    {"bool", at::kBool}};
  for (const auto& [name, type] : types) {
    file.tensors.emplace_back(name, ramp({3, 5}, type));
    file.tensors.emplace_back(name + ".scalar", at::full({}, 1, at::TensorOptions().dtype(type)));
    file.tensors.emplace_back(name + ".none",
                              at::empty({4, 0, 3}, at::TensorOptions().dtype(type)));
  }
  file.metadata = {{"format", "pt"}, {"note", "quote \" and ü\n"}};
  return file;
}

void expect_same(const SafetensorsFile& a, const SafetensorsFile& b) {
  EXPECT_EQ(a.metadata, b.metadata);
  std::map<std::string, at::Tensor> other;
  for (const auto& [name, x] : b.tensors) other[name] = x;
  ASSERT_EQ(a.tensors.size(), other.size());
  for (const auto& [name, x] : a.tensors) {
    ASSERT_EQ(other.count(name), 1u) << name;
    EXPECT_EQ(x.scalar_type(), other[name].scalar_type()) << name;
    EXPECT_TRUE(at::equal(x, other[name])) << name;
  }
}

TEST(Safetensors, RoundTripOfEveryDtypeRankZeroAndZeroSize) {
  const std::string bytes = safetensors_bytes(every_dtype());
  expect_same(every_dtype(), parse_safetensors(bytes, "memory"));
  const std::string path = testing::TempDir() + "attend_roundtrip.safetensors";
  write_file_atomically(path, bytes);
  expect_same(every_dtype(), read_safetensors(path));
  EXPECT_EQ(safetensors_bytes(read_safetensors(path)), bytes);
  std::filesystem::remove(path);
  expect_same({{}, {{"format", "pt"}}}, parse_safetensors(safetensors_bytes({}), "empty"));
}

TEST(Safetensors, WriterAlignsSortsAndTakesAnyStride) {
  SafetensorsFile file;
  file.tensors = {{"a", at::ones({3}, at::TensorOptions().dtype(at::kByte))},
                  {"z", ramp({2, 3}, at::kDouble).t()},
                  {"c", at::ones({1})},
                  {"b", at::ones({2}).set_requires_grad(true)}};
  const std::string bytes = safetensors_bytes(file);
  std::uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  EXPECT_EQ(n % 8, 0u);
  const SafetensorsFile back = parse_safetensors(bytes, "memory");
  std::vector<std::string> names;
  for (const auto& [name, x] : back.tensors) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"z", "b", "c", "a"}));
  EXPECT_TRUE(at::equal(back.tensors[0].second, ramp({2, 3}, at::kDouble).t()));
  EXPECT_FALSE(back.tensors[1].second.requires_grad());
}

TEST(Safetensors, WriterRefusesWhatItCannotSay) {
  const auto message = [](const SafetensorsFile& file) -> std::string {
    try {
      safetensors_bytes(file);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      return e.what();
    }
    return "accepted";
  };
  const at::Tensor x = at::ones({1});
  EXPECT_THAT(message({{{"a", x}, {"a", x}}, {}}), HasSubstr("\"a\" has a name that is taken"));
  EXPECT_THAT(message({{{"__metadata__", x}}, {}}), HasSubstr("taken"));
  EXPECT_THAT(message({{{"a", at::Tensor()}}, {}}), HasSubstr("undefined"));
  EXPECT_THAT(message({{{"a", x.to(at::kComplexFloat)}}, {}}), HasSubstr("dtype"));
  EXPECT_THAT(message({{{"\xff", x}}, {}}), HasSubstr("UTF-8"));
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string bytes = safetensors_bytes(every_dtype());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_NE(refusal(bytes.substr(0, n)), "accepted") << n;
  EXPECT_NE(refusal(bytes + "x"), "accepted");
}

TEST(Safetensors, EveryFlippedHeaderByteIsRefusedOrHarmless) {
  // A changed name or metadata is another valid file; whatever is accepted must be written again to what was read.
  const std::string bytes = safetensors_bytes(every_dtype());
  std::uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  int accepted = 0;
  for (std::size_t i = 0; i < 8 + n; ++i) {
    for (const unsigned char flip : {0x01, 0x02, 0x10, 0x20, 0x80, 0xFF}) {
      std::string broken = bytes;
      broken[i] = static_cast<char>(static_cast<unsigned char>(broken[i]) ^ flip);
      try {
        SafetensorsFile file = parse_safetensors(broken, "x");
        file.metadata.emplace("format", "pt");  // as the writer does
        expect_same(file, parse_safetensors(safetensors_bytes(file), "y"));
        ++accepted;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kBadInput) << e.what();
      }
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(Safetensors, MissingFileAndFolderAreIo) {
  for (const std::string& path :
       {testing::TempDir() + "not_there.safetensors", testing::TempDir()}) {
    try {
      read_safetensors(path);
      ADD_FAILURE() << "accepted " << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kIo);
      EXPECT_THAT(e.what(), HasSubstr(path));
    }
  }
}

TEST(Safetensors, OrderOfTheHeaderNeedNotBeThatOfTheData) {
  const std::string json =
      R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},"e":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )";
  const SafetensorsFile file = parse_safetensors(with_header(json, 11), "x");
  EXPECT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.tensors[0].first, "b");
  EXPECT_EQ(parse_safetensors(with_header(good_json(), 11), "x").tensors.size(), 2u);
}

}  // namespace
}  // namespace attend::interop
