#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "train/schema.h"

/// How the keys of a recipe are written down, one entry a key; the tables are in schema_data.cpp, schema_model.cpp and schema.cpp.
namespace attend::train {

inline constexpr double kMany = 1e9;  // a limit for whole numbers that have none of their own

/// An access is [](auto& r) -> auto& { return r.data.name; }: one lambda for const and mutable recipes.
template <class Access>
SchemaEntry plain(KeySpec spec, Access access) {
  using Field = std::decay_t<decltype(access(std::declval<Recipe&>()))>;
  const Recipe defaults;
  spec.default_value = Value(access(defaults));
  return {std::move(spec), [access](const Recipe& r) { return Value(access(r)); },
          [access](Recipe& r, const Value& v) { access(r) = std::get<Field>(v); }};
}

template <class Access>
SchemaEntry text(const char* key, Access access, const char* doc) {
  return plain({key, ValueType::kText, {}, 0, 0, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry flag(const char* key, Access access, const char* doc) {
  return plain({key, ValueType::kBool, {}, 0, 0, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry whole(const char* key, Access access, double low, double high, const char* doc) {
  return plain({key, ValueType::kInteger, {}, low, high, {}, doc, {}}, access);
}
template <class Access>
SchemaEntry real(const char* key, Access access, double low, double high, const char* doc) {
  return plain({key, ValueType::kReal, {}, low, high, {}, doc, {}}, access);
}

/// `names` in the order of the enum's values from 0.
template <class Access>
SchemaEntry choice(const char* key, Access access, std::vector<std::string> names,
                   const char* doc) {
  using Field = std::decay_t<decltype(access(std::declval<Recipe&>()))>;
  const Recipe defaults;
  KeySpec spec{
      key, ValueType::kChoice, names[static_cast<std::size_t>(access(defaults))], 0, 0, names, doc,
      {}};
  return {std::move(spec),
          [access, names](const Recipe& r) {
            return Value(names[static_cast<std::size_t>(access(r))]);
          },
          [access, names](Recipe& r, const Value& v) {
            for (std::size_t i = 0; i < names.size(); ++i)
              if (names[i] == std::get<std::string>(v)) access(r) = static_cast<Field>(i);
          }};
}

/// Tasks that share keys.
inline const std::vector<TaskKind> kClass{TaskKind::kClassification},
    kTranslate{TaskKind::kTranslation}, kLanguage{TaskKind::kLanguage},
    kCaption{TaskKind::kCaptioning}, kGenerate{TaskKind::kGeneration},
    kSentences{TaskKind::kTranslation,
               TaskKind::kCaptioning},  // that are written, each with an end
    kTokens{TaskKind::kTranslation, TaskKind::kLanguage},
    kWrite{TaskKind::kTranslation, TaskKind::kLanguage, TaskKind::kCaptioning},
    kWords{TaskKind::kClassification, TaskKind::kTranslation, TaskKind::kLanguage,
           TaskKind::kCaptioning};

/// Makes the entries from place `first` on known to these kinds of task alone.
inline void only_for(std::vector<SchemaEntry>& s, std::size_t first,
                     const std::vector<TaskKind>& tasks) {
  for (std::size_t i = first; i < s.size(); ++i) s[i].spec.tasks = tasks;
}

// A member's path can't stand in parentheses.  NOLINTBEGIN(bugprone-macro-parentheses)
#define FIELD(path) \
  [](auto& r) -> auto& { return r.path; }
// NOLINTEND(bugprone-macro-parentheses)

void add_data_keys(std::vector<SchemaEntry>& s);
void add_model_keys(std::vector<SchemaEntry>& s);

}  // namespace attend::train
