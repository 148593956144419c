#include "interop/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "attend/base/error.h"

namespace attend::interop {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxRank = 64;  // what libtorch's operations take

/// The only shape a header may have: {"name": {"dtype": s, "shape": [n…], "data_offsets": [n, n]}, …,
/// "__metadata__": {s: s, …}}. Each event either fits the place it comes at or is an error.
class HeaderEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderEvents(const std::string& where) : where_(where) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return misplaced("null"); }
  bool boolean(bool) override { return misplaced("a boolean"); }
  bool number_integer(number_integer_t) override { return misplaced("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return misplaced("a number with a fraction or beyond 64 bits");
  }
  bool binary(binary_t&) override { return misplaced("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kArray) return misplaced("a number");
    TensorEntry& e = entry();
    if (field_ == "shape") {
      if (e.shape.size() == kMaxRank) fail(of_entry() + "shape has more than 64 dimensions");
      e.shape.push_back(value);
    } else {
      if (e.offsets.size() == 2) fail(of_entry() + "data_offsets must be two numbers");
      e.offsets.push_back(value);
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[field_] = value;
      return true;
    }
    if (place_ != Place::kEntry || field_ != "dtype") return misplaced("a string");
    entry().dtype = value;
    entry().has_dtype = true;
    return true;
  }

  bool start_object(std::size_t) override {
    deeper();
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        place_ = in_metadata_ ? Place::kMetadata : Place::kEntry;
        return true;
      default:
        return misplaced("an object");
    }
  }

  bool key(string_t& name) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(name).second)
        fail("key \"" + shown(name) + "\" comes twice in the header");
      in_metadata_ = name == "__metadata__";
      if (!in_metadata_) {
        header_.entries.emplace_back();
        entry().name = name;
      }
      return true;
    }
    field_ = name;
    if (place_ == Place::kMetadata) {
      if (header_.metadata.count(name) != 0)
        fail("key \"" + shown(name) + "\" comes twice in __metadata__");
      return true;
    }
    const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
    if (!known) fail(of_entry() + "unknown key \"" + shown(name) + "\"");
    const TensorEntry& e = entry();
    if ((name == "dtype" && e.has_dtype) || (name == "shape" && e.has_shape) ||
        (name == "data_offsets" && e.has_offsets))
      fail(of_entry() + "key \"" + name + "\" comes twice");
    return true;
  }

  bool end_object() override {
    --depth_;
    if (place_ == Place::kEntry) check_complete();
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    deeper();
    if (place_ != Place::kEntry || field_ == "dtype") return misplaced("an array");
    (field_ == "shape" ? entry().has_shape : entry().has_offsets) = true;
    place_ = Place::kArray;
    return true;
  }

  bool end_array() override {
    --depth_;
    place_ = Place::kEntry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail("the header is not valid JSON at byte " + std::to_string(position) + " of it");
  }

 private:
  enum class Place { kStart, kTop, kEntry, kArray, kMetadata, kEnd };

  [[noreturn]] void fail(const std::string& what) const { fail_input(where_ + what); }
  TensorEntry& entry() { return header_.entries.back(); }
  std::string of_entry() { return "tensor \"" + shown(entry().name) + "\": "; }

  void deeper() {
    if (++depth_ > kMaxDepth) fail("the header is nested deeper than 64");
  }

  void check_complete() {
    const TensorEntry& e = entry();
    if (!e.has_dtype) fail(of_entry() + "dtype is missing");
    if (!e.has_shape) fail(of_entry() + "shape is missing");
    if (!e.has_offsets) fail(of_entry() + "data_offsets is missing");
    if (e.offsets.size() != 2) fail(of_entry() + "data_offsets must be two numbers");
  }

  bool misplaced(const char* what) {
    switch (place_) {
      case Place::kTop:
        fail(std::string("the header has ") + what + " where a tensor's object belongs");
      case Place::kMetadata:
        fail("__metadata__ must map strings to strings, but \"" + shown(field_) + "\" has " + what);
      case Place::kEntry:
      case Place::kArray:
        fail(of_entry() + field_ + " has " + what + "; expected " +
             (field_ == "dtype" ? "a string" : "an array of non-negative whole numbers"));
      default:
        fail(std::string("the header must be a JSON object, not ") + what);
    }
  }

  std::string where_;
  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  std::string field_;
  bool in_metadata_ = false;
  Place place_ = Place::kStart;
  int depth_ = 0;
};

}  // namespace

std::string shown(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 80)) out += static_cast<unsigned char>(c) < 32 ? '?' : c;
  // A cut inside a multi-byte character would make the message invalid UTF-8.
  if (name.size() > 80) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
    out += "…";
  }
  return out;
}

std::string json_string(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail_usage("safetensors: the name \"" + shown(text) + "\" is not valid UTF-8");
  }
}

SafetensorsHeader parse_header(std::string_view json, const std::string& where) {
  if (json.empty() || json.front() != '{') fail_input(where + "the header doesn't start with '{'");
  // The parser takes a NUL for the end of its input and would not look at what follows.
  if (json.find('\0') != std::string_view::npos) fail_input(where + "the header has a NUL byte");
  HeaderEvents events(where);
  nlohmann::json::sax_parse(json.begin(), json.end(), &events);
  return events.take();
}

}  // namespace attend::interop
