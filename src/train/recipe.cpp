#include "attend/train/recipe.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/nearest.h"
#include "train/schema.h"

namespace attend::train {
namespace {

std::string shortest(double value) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string out(text, end);
  if (out.find_first_of(".en") == std::string::npos)
    out += ".0";  // TOML: a real has a point or an exponent
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x",
                    static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string number(double value) {  // of a range, as a reader writes it
  std::ostringstream out;
  out << value;
  return out.str();
}

std::string expectation(const KeySpec& spec) {
  const std::string range = number(spec.minimum) + " to " + number(spec.maximum);
  switch (spec.type) {
    case ValueType::kBool:
      return "true or false";
    case ValueType::kInteger:
      return "a whole number from " + range;
    case ValueType::kReal:
      return "a number from " + range;
    case ValueType::kText:
      return "text";
    case ValueType::kChoice:
      break;
  }
  std::string out = "one of ";
  for (std::size_t i = 0; i < spec.choices.size(); ++i) out += (i ? ", " : "") + spec.choices[i];
  return out;
}

[[noreturn]] void refuse(const KeySpec& spec, const Value& value, const std::string& where) {
  std::string mend;
  if (spec.type == ValueType::kChoice && std::holds_alternative<std::string>(value))
    mend = did_you_mean(std::get<std::string>(value), spec.choices);
  fail_usage(where + spec.key + " = " + to_text(value) + ": expected " + expectation(spec) + mend);
}

std::vector<std::string> keys(TaskKind kind) {
  std::vector<std::string> out;
  for (const KeySpec& spec : recipe_schema())
    if (applies(spec, kind)) out.push_back(spec.key);
  return out;
}

std::string tail_of(const std::string& key) { return key.substr(key.rfind('.') + 1); }

std::string names_of(const std::vector<TaskKind>& tasks, const char* between) {
  std::string out;
  for (const TaskKind task : tasks) out += (out.empty() ? "" : between) + task_name(task);
  return out;
}

/// A key with the same last part first ("epochs" means train.epochs), then one spelt alike.
std::string suggestion(TaskKind kind, const std::string& key) {
  std::vector<std::string> tails;
  const std::vector<std::string> all = keys(kind);
  for (const std::string& known : all) {
    if (tail_of(known) == tail_of(key)) return did_you_mean(known, {known});
    tails.push_back(tail_of(known));
  }
  if (const std::string near = did_you_mean(key, all); !near.empty()) return near;
  const std::string near = nearest(tail_of(key), tails);
  for (const std::string& known : all)
    if (!near.empty() && tail_of(known) == near) return did_you_mean(known, {known});
  return "";
}

/// What a user typed after '=', read as the key's type wants it.
Value parse_value(const KeySpec& spec, const std::string& text) {
  if (spec.type == ValueType::kText || spec.type == ValueType::kChoice) {
    const bool in_quotes =
        text.size() >= 2 && text.front() == text.back() && (text[0] == '"' || text[0] == '\'');
    return in_quotes ? text.substr(1, text.size() - 2) : text;
  }
  if (spec.type == ValueType::kBool) {
    if (text == "true") return true;
    if (text == "false") return false;
    refuse(spec, text, "");
  }
  const char* const end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto r = std::from_chars(text.data(), end, whole); r.ec == std::errc() && r.ptr == end)
    return whole;
  double real = 0;
  if (const auto r = std::from_chars(text.data(), end, real); r.ec == std::errc() && r.ptr == end) {
    if (spec.type == ValueType::kInteger && real == std::floor(real) && std::abs(real) < 9e15)
      return static_cast<std::int64_t>(real);  // 1e3
    return real;
  }
  refuse(spec, text, "");
}

bool decides_learning(const std::string& key) {
  return key != "task.description" && key != "train.checkpoint_every" &&
         key != "train.checkpoint_seconds" && key != "train.keep";
}

/// Of a key that came later: what every recipe meant before, so that runs begun without it go on.
bool says_what_was_meant(const std::string& key, const Recipe& recipe) {
  return (key == "train.accumulate" && recipe.train.accumulate == 1) ||
         (key == "train.precision" && recipe.train.precision == ProductPrecision::kFloat32) ||
         (key == "model.attention.width" && recipe.task.kind == TaskKind::kClassification &&
          recipe.model.cell != models::Cell::kLstmn);
}

}  // namespace

bool applies(const KeySpec& spec, TaskKind kind) {
  return spec.tasks.empty() ||
         std::find(spec.tasks.begin(), spec.tasks.end(), kind) != spec.tasks.end();
}

const SchemaEntry& schema_entry(TaskKind kind, const std::string& key, const std::string& where) {
  std::vector<TaskKind> others;  // one key may be several entries, each with a meaning of its own
  for (const SchemaEntry& e : schema())
    if (e.spec.key == key) {
      if (applies(e.spec, kind)) return e;
      others.insert(others.end(), e.spec.tasks.begin(), e.spec.tasks.end());
    }
  if (!others.empty())
    fail_usage(where + key + " is a key of " + names_of(others, " and ") +
               " recipes, and this one's task is " + task_name(kind));
  fail_usage(where + "unknown key '" + key + "'" + suggestion(kind, key));
}

const std::vector<std::string>& choices_of(TaskKind kind, const std::string& key) {
  return schema_entry(kind, key).spec.choices;
}

std::string task_name(TaskKind kind) {
  Recipe recipe;
  recipe.task.kind = kind;
  return std::get<std::string>(recipe_value(recipe, "task.kind"));
}

Value checked(const KeySpec& spec, const Value& value, const std::string& where) {
  Value out = value;
  if (spec.type == ValueType::kReal && std::holds_alternative<std::int64_t>(value))
    out = static_cast<double>(std::get<std::int64_t>(value));
  const bool fits = spec.type == ValueType::kBool      ? std::holds_alternative<bool>(out)
                    : spec.type == ValueType::kInteger ? std::holds_alternative<std::int64_t>(out)
                    : spec.type == ValueType::kReal    ? std::holds_alternative<double>(out)
                                                       : std::holds_alternative<std::string>(out);
  if (!fits) refuse(spec, value, where);
  const auto inside = [&](double x) {
    return x >= spec.minimum && x <= spec.maximum;
  };  // false for NaN
  if (const auto* x = std::get_if<std::int64_t>(&out); x && !inside(static_cast<double>(*x)))
    refuse(spec, value, where);
  if (const auto* x = std::get_if<double>(&out); x && !inside(*x)) refuse(spec, value, where);
  if (spec.type == ValueType::kChoice) {
    bool known = false;
    for (const std::string& c : spec.choices) known = known || c == std::get<std::string>(out);
    if (!known) refuse(spec, value, where);
  }
  if (spec.type == ValueType::kText && std::get<std::string>(out).find('\0') != std::string::npos)
    fail_usage(where + spec.key + " holds a NUL byte");
  return out;
}

namespace {

/// Whether trainings of this kind measure the metric on validation rows.
bool has_metric(TaskKind kind, Metric metric) {
  switch (metric) {
    case Metric::kLoss:
      return true;
    case Metric::kAccuracy:
    case Metric::kF1:
      return kind == TaskKind::kClassification;
    case Metric::kBleu:
      return kind == TaskKind::kTranslation;
    case Metric::kExactMatch:
      return kind == TaskKind::kTranslation || kind == TaskKind::kCaptioning;
    case Metric::kBleu4:
    case Metric::kCider:
    case Metric::kPointing:
      return kind == TaskKind::kCaptioning;
  }
  return false;
}

void check_watch(const Recipe& r) {
  const Metric metric = r.train.watch;
  if (!has_metric(r.task.kind, metric))
    fail_usage(
        "train.early_stopping.metric = " + to_text(recipe_value(r, "train.early_stopping.metric")) +
        ": a " + task_name(r.task.kind) + " recipe has no such metric");
  const bool needs_texts = metric == Metric::kBleu || metric == Metric::kExactMatch ||
                           metric == Metric::kBleu4 || metric == Metric::kCider;
  if (needs_texts && r.train.patience > 0 && r.train.decode_rows == 0)
    fail_usage(r.task.kind == TaskKind::kTranslation
                   ? "train.early_stopping.metric needs translations: set train.decode_rows"
                   : "train.early_stopping.metric needs captions: set train.decode_rows");
}

void check_average(const Recipe& r) {
  if (r.train.average > 1 && r.train.patience > 0)
    fail_usage("train.average = " + std::to_string(r.train.average) +
               " needs train.early_stopping.patience = 0: the last epochs must be known before "
               "they come");
}

void check_precision(const Recipe& r) {
  if (r.train.precision == ProductPrecision::kFloat32) return;
  const bool transformer = r.task.kind == TaskKind::kTranslation
                               ? r.model.architecture == models::Architecture::kTransformer
                               : r.model.language == models::LanguageArchitecture::kTransformer;
  if (!transformer)
    fail_usage("train.precision = \"bfloat16\" is of a transformer's products; take float32");
}

void check_bert(const Recipe& r) {
  if (r.model.pretrained.empty())
    fail_usage("model.architecture = \"bert\" needs model.pretrained: the folder of an encoder");
  if (!r.model.mask_padding) fail_usage("model.mask_padding = false: a bert never reads padding");
  if (r.model.attention != models::Attention::kNone)
    fail_usage("model.attention.kind = \"pool\": a bert has its own attention; take none");
}

}  // namespace

void check_recipe(const Recipe& r) {
  check_watch(r);
  check_average(r);
  check_precision(r);
  if (r.task.kind == TaskKind::kGeneration && r.data.validation + r.data.test > 0.95)
    fail_usage("data.validation + data.test = " + number(r.data.validation + r.data.test) +
               ": at most 0.95, some images are needed for training");
  if (r.task.kind != TaskKind::kClassification) return;
  if (r.data.split != Split::kFolds && r.data.validation + r.data.test > 0.95)
    fail_usage("data.validation + data.test = " + number(r.data.validation + r.data.test) +
               ": at most 0.95, some rows are needed for training");
  if (r.data.split == Split::kFolds && r.data.fold >= r.data.folds)
    fail_usage("data.fold = " + std::to_string(r.data.fold) + ": folds count from 0, there are " +
               std::to_string(r.data.folds));
  if (r.data.inner_folds == 1) fail_usage("data.inner_folds = 1: 0 for none, or at least 2");
  if (r.data.inner_folds > 0 && r.data.inner_fold >= r.data.inner_folds)
    fail_usage("data.inner_fold = " + std::to_string(r.data.inner_fold) +
               ": folds count from 0, there are " + std::to_string(r.data.inner_folds));
  if (r.data.padding == data::End::kPre && r.model.mask_padding)
    fail_usage(
        "data.padding = \"pre\" needs model.mask_padding = false: masks follow a text's length "
        "from its start");
  if (r.model.classifier == models::ClassifierArchitecture::kBert) return check_bert(r);
  if (r.model.freeze_embedding && r.model.pretrained.empty())
    fail_usage(
        "model.freeze_embedding = true needs model.pretrained: random vectors must be trained");
}

std::string to_text(const Value& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<std::int64_t>(&value)) return std::to_string(*i);
  if (const auto* d = std::get_if<double>(&value)) return shortest(*d);
  return quoted(std::get<std::string>(value));
}

Value recipe_value(const Recipe& recipe, const std::string& key) {
  return schema_entry(recipe.task.kind, key).get(recipe);
}

void set_recipe_value(Recipe& recipe, const std::string& key, const Value& value) {
  const SchemaEntry& e = schema_entry(recipe.task.kind, key);
  e.set(recipe, checked(e.spec, value));
}

void set_recipe_value(Recipe& recipe, const std::string& assignment) {
  const auto equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    fail_usage("'" + assignment + "': expected key=value, such as optim.lr=0.01");
  const auto trim = [](const std::string& s) {
    const auto from = s.find_first_not_of(" \t");
    return from == std::string::npos ? std::string()
                                     : s.substr(from, s.find_last_not_of(" \t") - from + 1);
  };
  const SchemaEntry& e = schema_entry(recipe.task.kind, trim(assignment.substr(0, equals)));
  e.set(recipe, checked(e.spec, parse_value(e.spec, trim(assignment.substr(equals + 1)))));
}

std::string to_toml(const Recipe& recipe) {
  std::string out, table;
  for (const SchemaEntry& e : schema()) {
    if (!applies(e.spec, recipe.task.kind)) continue;
    const auto dot = e.spec.key.find('.');
    const std::string of = e.spec.key.substr(0, dot);
    if (of != table) {
      out += (table.empty() ? "[" : "\n[") + of + "]\n";
      table = of;
    }
    const std::string line = e.spec.key.substr(dot + 1) + " = " + to_text(e.get(recipe));
    out +=
        line + std::string(line.size() < 34 ? 34 - line.size() : 1, ' ') + "# " + e.spec.doc + "\n";
  }
  return out;
}

std::string recipe_hash(const Recipe& recipe) {
  std::string text;
  for (const SchemaEntry& e : schema())
    if (applies(e.spec, recipe.task.kind) && decides_learning(e.spec.key) &&
        !says_what_was_meant(e.spec.key, recipe))
      text += e.spec.key + "=" + to_text(e.get(recipe)) + "\n";
  return sha256(text);
}

std::string recipe_schema_markdown() {
  std::string out, table;
  for (const KeySpec& spec : recipe_schema()) {
    const std::string of = spec.key.substr(0, spec.key.find('.'));
    if (of != table) {
      out += (table.empty() ? "### [" : "\n### [") + of +
             "]\n\n| key | default | takes | meaning |\n|---|---|---|---|\n";
      table = of;
    }
    out += "| `" + spec.key + "` | `" + to_text(spec.default_value) + "` | " + expectation(spec) +
           " | " + (spec.tasks.empty() ? "" : names_of(spec.tasks, ", ") + ": ") + spec.doc +
           " |\n";
  }
  return out;
}

}  // namespace attend::train
