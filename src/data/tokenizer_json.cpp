#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/tokenizer.h"
#include "data/json.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

using nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 28;

// The package's Lowercase maps letter by letter and so misses the final sigma, which Python's
// str.lower knows: a Σ behind a cased letter and before none, both across case-ignorable
// characters.
constexpr char kFinalSigma[] =
    "\\p{Cased}\\p{Case_Ignorable}*\\KΣ(?!\\p{Case_Ignorable}*\\p{Cased})";

std::string character_class(const std::string& filters) {
  std::string out = "[";
  for (const char c : filters) {
    if (c == '\t') out += "\\t";
    if (c == '\n') out += "\\n";
    if (c == '\t' || c == '\n') continue;
    if (std::string_view("[]\\^-&").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out + "]";
}

/// The inverse; `text` begins with '['.
std::string filters_of(const std::string& text) {
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
    } else if (++i + 1 < text.size()) {
      out += text[i] == 't' ? '\t' : text[i] == 'n' ? '\n' : text[i];
    }
  }
  return out;
}

/// What marks the start of a word in the model that leaves unknown words out; a character that
/// `split` does not hold.
std::string word_mark(const TokenizerOptions& options) {
  if (options.oov_token) return "";
  for (const char* mark : {"▁", "␣", "¤"})
    if (options.split.find(mark) == std::string::npos) return mark;
  fail_usage("tokenizer.json: a split string with ▁, ␣ and ¤ in it cannot be written");
}

Ordered replace(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

Ordered normalizer(const TokenizerOptions& options, const std::string& mark) {
  Ordered steps = Ordered::array();
  if (options.lower) {
    steps.push_back(replace("Regex", kFinalSigma, "ς"));
    steps.push_back({{"type", "Lowercase"}});
  }
  if (!options.filters.empty())
    steps.push_back(replace("Regex", character_class(options.filters), options.split));
  if (!mark.empty()) {
    steps.push_back(replace("String", options.split, options.split + mark));
    steps.push_back({{"type", "Prepend"}, {"prepend", mark}});
  }
  if (steps.empty()) return nullptr;
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Ordered model(const TokenizerOptions& options) {
  if (options.oov_token)
    return {{"type", "WordLevel"}, {"vocab", Ordered::object()}, {"unk_token", *options.oov_token}};
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", true},
          {"vocab", Ordered::object()},
          {"merges", Ordered::array()}};
}

/// The whole document, with an empty vocabulary.
Ordered document(const TokenizerOptions& options) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Ordered::array()},
          {"normalizer", normalizer(options, word_mark(options))},
          {"pre_tokenizer",
           {{"type", "Split"},
            {"pattern", {{"String", options.split}}},
            {"behavior", "Removed"},
            {"invert", false}}},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", model(options)}};
}

/// Names that no text can turn into: for id 0 and for ids without a word.
std::string name_of_padding(const Tokenizer& tokenizer) {
  const std::string name = "[PAD]";
  const auto tokens = tokenizer.tokenize(name);
  const bool is_word = tokens.size() == 1 && tokens[0].text == name;
  return is_word ? name + tokenizer.options().split + name : name;
}

/// Words by id, from 0.
std::vector<std::string> words_by_id(const Tokenizer& tokenizer) {
  const TokenizerOptions& options = tokenizer.options();
  const std::string mark = word_mark(options);
  std::vector<std::string> out = {name_of_padding(tokenizer)};
  for (std::int64_t id = 1; id <= tokenizer.vocabulary(); ++id) {
    const std::string* word = tokenizer.word_of(id);
    const bool is_used = word != nullptr && tokenizer.id_of(*word) == id;
    out.push_back(is_used ? mark + *word : "unused" + options.split + std::to_string(id));
  }
  return out;
}

TokenizerOptions options_of(const json& root, const std::string& name) {
  TokenizerOptions options;
  options.filters.clear();
  options.lower = false;
  try {
    options.split = root.at("pre_tokenizer").at("pattern").at("String").get<std::string>();
    const json& norm = root.at("normalizer");
    if (!norm.is_null())
      for (const json& step : norm.at("normalizers")) {
        const std::string type = step.at("type").get<std::string>();
        if (type == "Lowercase") options.lower = true;
        if (type != "Replace" || !step.at("pattern").contains("Regex")) continue;
        const std::string pattern = step.at("pattern").at("Regex").get<std::string>();
        if (!pattern.empty() && pattern[0] == '[') options.filters = filters_of(pattern);
      }
    const json& unknown = root.at("model").at("unk_token");
    if (!unknown.is_null()) options.oov_token = unknown.get<std::string>();
  } catch (const json::exception&) {
    fail_input(name +
               ": not a tokenizer.json that attend wrote (normalizer, pre_tokenizer and "
               "model.unk_token were expected)");
  }
  if (options.split.empty()) fail_input(name + ": pre_tokenizer.pattern.String is empty");
  return options;
}

/// Everything but the vocabulary must be what we would have written for these options.
void require_ours(const json& root, const TokenizerOptions& options, const std::string& name) {
  json given = root;
  given["model"]["vocab"] = json::object();
  const json expected = json::parse(document(options).dump());
  if (given == expected) return;
  for (const auto& [key, value] : expected.items())
    if (!given.contains(key) || given.at(key) != value)
      fail_input(name + ": '" + key + "' is not as attend writes it; train a run to get one");
  fail_input(name + ": it has keys that attend does not write");
}

}  // namespace

std::string to_tokenizer_json(const Tokenizer& tokenizer) {
  std::string text = document(tokenizer.options()).dump(2);
  std::string vocabulary;
  std::int64_t id = 0;
  for (const std::string& word : words_by_id(tokenizer))
    vocabulary +=
        (id == 0 ? "\n      " : ",\n      ") + json(word).dump() + ": " + std::to_string(id),
        ++id;
  const std::string empty = "\"vocab\": {";
  text.insert(text.rfind(empty + "}") + empty.size(), vocabulary + "\n    ");
  return text + "\n";
}

Tokenizer from_tokenizer_json(std::string_view text, const std::string& name) {
  const json root = parse_json(text, name);
  if (!root.is_object() || !root.contains("model") || !root.at("model").is_object() ||
      !root.at("model").contains("vocab"))
    fail_input(name + ": not a tokenizer.json: model.vocab is missing");
  std::vector<std::string> words = tokens_by_id(root.at("model").at("vocab"), name);
  const TokenizerOptions options = options_of(root, name);
  require_ours(root, options, name);
  const std::string mark = word_mark(options);
  words.erase(words.begin());  // padding
  for (std::string& word : words) {
    if (word.size() <= mark.size() && !mark.empty())
      fail_input(name + ": model.vocab: '" + word + "' is no word behind a " + mark);
    if (word.compare(0, mark.size(), mark) != 0)
      fail_input(name + ": model.vocab: '" + word.substr(0, 60) + "' does not begin with " + mark);
    word.erase(0, mark.size());
  }
  if (options.oov_token && std::find(words.begin(), words.end(), *options.oov_token) == words.end())
    fail_input(name + ": model.unk_token '" + *options.oov_token + "' is not in model.vocab");
  return Tokenizer::from_words(options, words);
}

void save_tokenizer(const Tokenizer& tokenizer, const std::string& path) {
  write_file_atomically(path, to_tokenizer_json(tokenizer));
}

Tokenizer load_tokenizer(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > kMostBytes)
    fail_input(path + ": " + std::to_string(size) + " bytes are too many for a tokenizer.json");
  return from_tokenizer_json(read_file(path), path);
}

}  // namespace attend::data
