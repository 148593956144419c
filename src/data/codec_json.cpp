// tokenizer.json of the package `tokenizers` for our four kinds of pipeline.
#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/tokenizer.h"
#include "data/codec_state.h"
#include "data/json.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

using CodecJson = nlohmann::json;
using CodecOrdered = nlohmann::ordered_json;

constexpr std::uintmax_t kMostCodecBytes = std::uintmax_t{1} << 28;

CodecOrdered marks() {
  return {{"type", "Metaspace"},
          {"replacement", kSpaceMark},
          {"prepend_scheme", "always"},
          {"split", true}};
}

CodecOrdered codec_normalizer(TextUnit unit, bool lower) {
  if (unit == TextUnit::kWordPiece)
    return {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", lower}};
  CodecOrdered steps = CodecOrdered::array();
  if (unit != TextUnit::kCharacter) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}});
    steps.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  }
  steps.push_back({{"type", "NFC"}});
  if (lower) steps.push_back({{"type", "Lowercase"}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

CodecOrdered codec_pre_tokenizer(TextUnit unit) {
  if (unit == TextUnit::kWordPiece) return {{"type", "BertPreTokenizer"}};
  if (unit == TextUnit::kCharacter) return nullptr;
  CodecOrdered steps = CodecOrdered::array();
  steps.push_back(marks());
  steps.push_back({{"type", "Split"},
                   {"pattern", {{"Regex", "▁?(?:[!-/:-@\\[-`{-~]|\\p{P})"}}},
                   {"behavior", "Isolated"},
                   {"invert", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

CodecOrdered codec_decoder(TextUnit unit) {
  if (unit == TextUnit::kWordPiece)
    return {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  if (unit == TextUnit::kCharacter) return {{"type", "Fuse"}};
  return marks();
}

/// Puts [CLS] and [SEP] around a text, for programs that ask the package for them.
CodecOrdered codec_post_processor(TextUnit unit, const Vocabulary& vocabulary) {
  if (unit != TextUnit::kWordPiece) return nullptr;
  const SpecialTokens& special = vocabulary.special();
  return {{"type", "BertProcessing"},
          {"sep", {special.eos, vocabulary.eos()}},
          {"cls", {special.bos, vocabulary.bos()}}};
}

/// Without vocabulary and merges.
CodecOrdered codec_model(TextUnit unit, const std::string& unk) {
  if (unit == TextUnit::kWord) return {{"type", "WordLevel"}, {"unk_token", unk}};
  if (unit == TextUnit::kWordPiece)
    return {{"type", "WordPiece"},
            {"unk_token", unk},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100}};
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unk},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false}};
}

CodecOrdered added_tokens(const Vocabulary& vocabulary) {
  CodecOrdered out = CodecOrdered::array();
  for (const std::int64_t id : vocabulary.special_ids())
    out.push_back({{"id", id},
                   {"content", vocabulary.token(id)},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", true}});
  return out;
}

[[noreturn]] void fail_codec(const std::string& name, const std::string& key,
                             const CodecJson& given) {
  std::string told = given.dump(-1, ' ', false, CodecJson::error_handler_t::replace);
  if (told.size() > 100) told = told.substr(0, find_bad_utf8(told.substr(0, 100))) + "…";
  fail_input(name + ": '" + key + "' is " + told +
             ", which is none that attend reads (its own word, BPE and character pipelines, and "
             "BERT's)");
}

TextUnit unit_of(const CodecJson& root, const std::string& name) {
  const CodecJson& type =
      root.at("model").contains("type") ? root.at("model").at("type") : CodecJson("without a type");
  if (type == "WordLevel") return TextUnit::kWord;
  if (type == "WordPiece") return TextUnit::kWordPiece;
  if (type != "BPE") fail_codec(name, "model.type", type);
  const bool is_plain = !root.contains("pre_tokenizer") || root.at("pre_tokenizer").is_null();
  return is_plain ? TextUnit::kCharacter : TextUnit::kBpe;
}

/// Every key given must have the value expected; a key left out has its default, which is ours.
void require_same(const CodecJson& given, const CodecJson& expected, const std::string& key,
                  const std::string& name) {
  if (given == expected) return;
  if (!given.is_object() || !expected.is_object()) fail_codec(name, key, given);
  for (const auto& [part, value] : given.items())
    if (!expected.contains(part) || expected.at(part) != value)
      fail_codec(name, key + "." + part, value);
}

bool lower_of(const CodecJson& root, TextUnit unit, const std::string& name) {
  CodecJson given = root.value("normalizer", CodecJson());
  if (unit == TextUnit::kWordPiece && given.is_object()) {
    if (given.value("strip_accents", CodecJson()) == given.value("lowercase", CodecJson(true)))
      given["strip_accents"] = nullptr;  // null means: as lowercase
  }
  for (const bool lower : {false, true})
    if (given == CodecJson::parse(codec_normalizer(unit, lower).dump())) return lower;
  fail_codec(name, "normalizer", given);
}

SpecialTokens special_of(const CodecJson& root, const std::string& name) {
  const CodecJson& model = root.at("model");
  if (!model.contains("unk_token") || !model.at("unk_token").is_string())
    fail_input(name + ": model.unk_token is not a token");
  SpecialTokens out = {"", model.at("unk_token").get<std::string>(), "", "", {}};
  const CodecJson added = root.value("added_tokens", CodecJson::array());
  if (!added.is_array()) fail_codec(name, "added_tokens", added);
  for (const CodecJson& token : added) {
    if (!token.is_object() || !token.contains("content") || !token.at("content").is_string())
      fail_codec(name, "added_tokens", token);
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"})
      if (token.value(flag, CodecJson(false)) != false)
        fail_codec(name, std::string("added_tokens.") + flag, token);
    const std::string content = token.at("content").get<std::string>();
    if (content == "<pad>" || content == "[PAD]")
      out.pad = content;
    else if (content == "<s>" || content == "[CLS]")
      out.bos = content;
    else if (content == "</s>" || content == "[SEP]")
      out.eos = content;
    else if (content != out.unk)
      out.others.push_back(content);
  }
  for (const auto& [token, what] :
       {std::pair{&out.pad, "<pad> or [PAD]"}, std::pair{&out.bos, "<s> or [CLS]"},
        std::pair{&out.eos, "</s> or [SEP]"}})
    if (token->empty()) fail_input(name + ": added_tokens lacks " + what);
  return out;
}

/// ["a","b"], or "a b" as older files have it.
std::pair<std::string, std::string> sides_of(const CodecJson& merge, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail_input(where + " is not a pair of tokens");
}

void read_merges(const CodecJson& merges, TextCodec::State& state, const std::string& name) {
  if (!merges.is_array()) fail_input(name + ": model.merges is not a list");
  if (state.unit == TextUnit::kCharacter && !merges.empty())
    fail_input(name + ": model.merges is not empty though there is no pre_tokenizer");
  for (const CodecJson& merge : merges) {
    const std::string where = name + ": model.merges[" + std::to_string(state.merges.size()) + "]";
    const auto [left, right] = sides_of(merge, where);
    TextCodec::Merge ids{};
    for (const auto& [token, id] : {std::pair{left, &ids.left}, std::pair{right, &ids.right},
                                    std::pair{left + right, &ids.result}}) {
      const auto found = state.vocabulary.find(token);
      if (!found) fail_input(where + ": '" + token.substr(0, 60) + "' is not in model.vocab");
      *id = *found;
    }
    state.merges.push_back(ids);
  }
  index_merges(state);
  if (state.rules.size() != state.merges.size())
    fail_input(name + ": model.merges has a pair twice");
}

void insert_lists(std::string& text, const TextCodec::State& state) {
  std::string lists = ",\n    \"vocab\": {";
  for (std::int64_t id = 0; id < state.vocabulary.size(); ++id)
    lists += (id == 0 ? "\n      " : ",\n      ") + CodecJson(state.vocabulary.token(id)).dump() +
             ": " + std::to_string(id);
  lists += "\n    }";
  if (state.unit == TextUnit::kBpe || state.unit == TextUnit::kCharacter) {
    lists += ",\n    \"merges\": [";
    bool is_first = true;
    for (const TextCodec::Merge& merge : state.merges) {
      const CodecJson sides = {state.vocabulary.token(merge.left),
                               state.vocabulary.token(merge.right)};
      lists += (is_first ? "\n      " : ",\n      ") + sides.dump();
      is_first = false;
    }
    lists += "\n    ]";
  }
  text.insert(text.rfind("\n  }\n}"), lists);  // the model is the last key
}

}  // namespace

std::string to_json(const TextCodec& codec) {
  const TextCodec::State& state = codec.state();
  const CodecOrdered root = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added_tokens(state.vocabulary)},
                             {"normalizer", codec_normalizer(state.unit, state.lower)},
                             {"pre_tokenizer", codec_pre_tokenizer(state.unit)},
                             {"post_processor", codec_post_processor(state.unit, state.vocabulary)},
                             {"decoder", codec_decoder(state.unit)},
                             {"model", codec_model(state.unit, state.vocabulary.special().unk)}};
  std::string text = root.dump(2);
  insert_lists(text, state);
  return text + "\n";
}

TextCodec codec_from_json(std::string_view text, const std::string& name) {
  CodecJson root = parse_json(text, name);
  if (!root.is_object() || !root.contains("model") || !root.at("model").is_object() ||
      !root.at("model").contains("vocab"))
    fail_input(name + ": not a tokenizer.json: model.vocab is missing");
  const TextUnit unit = unit_of(root, name);
  std::vector<std::string> tokens = tokens_by_id(root.at("model").at("vocab"), name);
  std::shared_ptr<TextCodec::State> state;
  try {
    state = std::make_shared<TextCodec::State>(std::move(tokens), special_of(root, name));
  } catch (const Error& e) {
    const std::string why = e.what();
    fail_input(why.starts_with(name) ? why : name + ": " + why);
  }
  state->unit = unit;
  state->lower = lower_of(root, unit, name);
  for (const auto& [key, part] : {std::pair{"pre_tokenizer", codec_pre_tokenizer(unit)},
                                  std::pair{"decoder", codec_decoder(unit)}})
    require_same(root.value(key, CodecJson()), CodecJson::parse(part.dump()), key, name);
  CodecJson& model = root.at("model");
  const bool has_merges = unit == TextUnit::kBpe || unit == TextUnit::kCharacter;
  if (has_merges) read_merges(model.value("merges", CodecJson()), *state, name);
  if (has_merges) model.erase("merges");
  model.erase("vocab");
  model.erase("dropout");  // a setting of training, not of the vocabulary
  require_same(model, CodecJson::parse(codec_model(unit, state->vocabulary.special().unk).dump()),
               "model", name);
  return TextCodec(std::move(state));
}

TextCodec codec_from_vocab_txt(std::string_view text, const std::string& name, bool lower) {
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string token(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!token.empty() && token.back() == '\r') token.pop_back();
    const std::string where = name + ":" + std::to_string(tokens.size() + 1) + ": ";
    if (token.empty()) fail_input(where + "an empty line where a token was expected");
    if (!is_utf8(token)) fail_input(where + "not UTF-8");
    if (const auto [entry, is_new] = lines.emplace(token, tokens.size() + 1); !is_new)
      fail_input(where + "'" + token.substr(0, 60) + "' is in line " +
                 std::to_string(entry->second) + " already");
    tokens.push_back(std::move(token));
  }
  SpecialTokens special = bert_special_tokens();
  if (!lines.contains("[MASK]")) special.others.clear();
  std::shared_ptr<TextCodec::State> state;
  try {
    state = std::make_shared<TextCodec::State>(std::move(tokens), std::move(special));
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  state->unit = TextUnit::kWordPiece;
  state->lower = lower;
  return TextCodec(std::move(state));
}

void save_codec(const TextCodec& codec, const std::string& path) {
  write_file_atomically(path, to_json(codec));
}

TextCodec load_codec(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > kMostCodecBytes)
    fail_input(path + ": " + std::to_string(size) + " bytes are too many for a tokenizer");
  const std::string text = read_file(path);
  return path.ends_with(".txt") ? codec_from_vocab_txt(text, path) : codec_from_json(text, path);
}

}  // namespace attend::data
