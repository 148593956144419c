#include "attend/train/run.h"

namespace attend::train {
namespace {

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::vector<ReadWord> words_of(const data::Tokenizer& tokenizer, const std::string& text) {
  const auto& oov = tokenizer.options().oov_token;
  std::vector<ReadWord> out;
  for (const data::Token& token : tokenizer.tokenize(text)) {
    const auto id = tokenizer.id_of(token.text);
    const bool unknown = !id || (oov && *id == 1 && token.text != *oov);
    out.push_back(
        {text.substr(token.begin, token.end - token.begin), token.begin, id.value_or(0), unknown});
  }
  return out;
}

/// Pieces of what white space sets apart, which BERT's tokeniser takes one by one as well.
std::vector<ReadWord> pieces_of(const data::TextCodec& codec, const std::string& text) {
  std::vector<ReadWord> out;
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    end = begin;
    while (end < text.size() && !is_blank(text[end])) ++end;
    const std::string word = text.substr(begin, end - begin);
    const std::vector<std::int64_t> ids = codec.encode(word);
    for (const std::int64_t id : ids) {
      const bool unknown = id == codec.unk();
      const bool is_whole = ids.size() == 1 && (unknown || codec.vocabulary().token(id) == word);
      out.push_back({is_whole ? word : codec.vocabulary().token(id), begin, id, unknown});
    }
  }
  return out;
}

}  // namespace

std::vector<ReadWord> read_words(const Run& run, const std::string& text) {
  return run.codec ? pieces_of(*run.codec, text) : words_of(run.tokenizer, text);
}

std::string tokenizer_json(const Run& run) {
  return run.codec ? data::to_json(*run.codec) : data::to_tokenizer_json(run.tokenizer);
}

data::Encoded encode(const Run& run, const data::Dataset& rows) {
  const data::EncodeOptions options = encode_options(run.recipe);
  return run.codec ? data::encode(rows, *run.codec, options)
                   : data::encode(rows, run.tokenizer, options);
}

models::ClassifierBatch encode(const Run& run, const std::vector<std::string>& texts) {
  const data::EncodeOptions options = encode_options(run.recipe);
  const data::Encoded encoded = run.codec ? data::encode_texts(texts, *run.codec, options)
                                          : data::encode_texts(texts, run.tokenizer, options);
  return {encoded.ids, encoded.lengths};
}

}  // namespace attend::train
