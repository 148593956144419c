#pragma once
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "attend/base/nearest.h"
#include "data/json.h"

namespace attend::train {

inline constexpr std::int64_t kRunFormatVersion = 1;

/// A config struct lists its fields once, for this writer and the reader below, which write_config and read_config use:
///   constexpr auto kFields = [](auto& f, auto& c) { f("hidden", c.hidden); f("cell", c.cell, kCells); … };
class ConfigWriter {
 public:
  ConfigWriter(const std::string& model_type, const std::string& architecture) {
    json_["model_type"] = model_type;
    json_["architectures"] = {architecture};
    json_["attend_format_version"] = kRunFormatVersion;
  }
  template <class T>
  void operator()(const char* key, const T& value) {
    json_[key] = value;
  }
  template <class Enum>
  void operator()(const char* key, const Enum& value, const std::vector<std::string>& names) {
    json_[key] = names.at(static_cast<std::size_t>(value));
  }
  template <class... Value>
  void added(const char* key, const Value&... value) {
    (*this)(key, value...);
  }
  std::string text() const { return json_.dump(2) + "\n"; }

 private:
  nlohmann::ordered_json json_;
};

/// Takes checked fields out of an object; what is left over at the end is unknown.
class Fields {
 public:
  Fields(nlohmann::json object, std::string name)
      : object_(std::move(object)), name_(std::move(name)) {
    if (!object_.is_object()) fail_input(name_ + ": expected an object");
  }

  const nlohmann::json& at(const char* key) {
    known_.push_back(key);
    const auto found = object_.find(key);
    if (found == object_.end()) fail_input(name_ + ": '" + key + "' is missing");
    return *found;
  }
  std::int64_t whole(const char* key) {
    const nlohmann::json& v = at(key);
    if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX))
      refuse(key, "a whole number");
    return v.get<std::int64_t>();
  }
  double real(const char* key) {
    if (!at(key).is_number()) refuse(key, "a number");
    return at(key).get<double>();
  }
  bool flag(const char* key) {
    if (!at(key).is_boolean()) refuse(key, "true or false");
    return at(key).get<bool>();
  }
  std::string text(const char* key) {
    if (!at(key).is_string()) refuse(key, "text");
    return at(key).get<std::string>();
  }
  std::vector<std::string> texts(const char* key) {
    std::vector<std::string> out;
    if (!at(key).is_array()) refuse(key, "a list of texts");
    for (const nlohmann::json& v : at(key)) {
      if (!v.is_string()) refuse(key, "a list of texts");
      out.push_back(v.get<std::string>());
    }
    return out;
  }
  std::size_t choice(const char* key, const std::vector<std::string>& names) {
    const std::string value = text(key);
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] == value) return i;
    fail_input(name_ + ": '" + key + "' is '" + value + "'" + did_you_mean(value, names));
  }
  void operator()(const char* key, std::int64_t& out) { out = whole(key); }
  void operator()(const char* key, double& out) { out = real(key); }
  void operator()(const char* key, bool& out) { out = flag(key); }
  void operator()(const char* key, std::vector<std::string>& out) { out = texts(key); }
  template <class Enum>
  void operator()(const char* key, Enum& out, const std::vector<std::string>& names) {
    out = static_cast<Enum>(choice(key, names));
  }

  /// A field that came after the first runs were written: where it is missing, what `value` is stays.
  template <class... Value>
  void added(const char* key, Value&&... value) {
    if (object_.contains(key))
      (*this)(key, std::forward<Value>(value)...);
    else
      known_.push_back(key);
  }

  /// model_type, attend_format_version and architectures, which every config.json begins with.
  void expect_model(const std::string& model_type) {
    if (const std::string type = text("model_type"); type != model_type)
      fail_input(name_ + ": model_type is '" + type + "', expected '" + model_type + "'");
    if (const auto version = whole("attend_format_version"); version != kRunFormatVersion)
      fail_input(name_ + ": attend_format_version is " + std::to_string(version) +
                 ", this version reads " + std::to_string(kRunFormatVersion));
    texts("architectures");
  }
  void finish() const {
    for (const auto& item : object_.items())
      if (std::find(known_.begin(), known_.end(), item.key()) == known_.end())
        fail_input(name_ + ": unknown key '" + item.key() + "'" + did_you_mean(item.key(), known_));
  }

 private:
  [[noreturn]] void refuse(const char* key, const char* expected) const {
    fail_input(name_ + ": '" + key + "' must be " + expected);
  }
  nlohmann::json object_;
  std::string name_;
  std::vector<std::string> known_;
};

/// The config.json of a config whose fields `fields` lists.
template <class Config, class ListFields>
std::string write_config(const std::string& model_type, const std::string& architecture,
                         const Config& config, const ListFields& fields) {
  ConfigWriter writer(model_type, architecture);
  fields(writer, config);
  return writer.text();
}

/// Reads what write_config wrote; `name` is the file in messages. Every field is checked, then the whole by `check`, whose Error
/// is that of the file.
template <class Config, class ListFields, class Check>
Config read_config(const std::string& text, const std::string& name, const std::string& model_type,
                   const ListFields& list_fields, const Check& check) {
  Fields fields(data::parse_json(text, name), name);
  fields.expect_model(model_type);
  Config config;
  list_fields(fields, config);
  fields.finish();
  try {
    check(config);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  return config;
}

}  // namespace attend::train
