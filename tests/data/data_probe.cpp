// What the Python tests of this folder drive: one JSON request a line on standard input, one JSON
// answer a line.
//   {"act":"fit","options":{…},"texts":[…]}      -> {"word_counts":[[word,n]…],"word_index":{…},"vocabulary":n,"json":"…"}
//   {"act":"encode","json":"…","texts":[…]}      -> {"sequences":[[…]…],"tokens":[[[word,begin,end]…]…]}
//   {"act":"lower","texts":[…]}                  -> {"texts":[…]}
#include <iostream>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/data/tokenizer.h"

using nlohmann::json;
using namespace attend::data;

namespace {

TokenizerOptions options_of(const json& given) {
  TokenizerOptions out;
  out.filters = given.value("filters", out.filters);
  out.lower = given.value("lower", out.lower);
  out.split = given.value("split", out.split);
  out.num_words = given.value("num_words", out.num_words);
  if (given.contains("oov_token")) out.oov_token = given.at("oov_token").get<std::string>();
  return out;
}

json sequences_of(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  json tokens = json::array();
  for (const std::string& text : texts) {
    json list = json::array();
    for (const Token& token : tokenizer.tokenize(text))
      list.push_back({token.text, token.begin, token.end});
    tokens.push_back(list);
  }
  return {{"sequences", tokenizer.texts_to_sequences(texts)}, {"tokens", tokens}};
}

json answer(const json& request) {
  const std::string act = request.at("act");
  const auto texts = request.at("texts").get<std::vector<std::string>>();
  if (act == "lower") {
    json out = json::array();
    for (const std::string& text : texts) out.push_back(lower_case(text));
    return {{"texts", out}};
  }
  if (act == "encode")
    return sequences_of(from_tokenizer_json(request.at("json").get<std::string>()), texts);
  Tokenizer tokenizer(options_of(request.at("options")));
  tokenizer.fit_on_texts(texts);
  json out = sequences_of(tokenizer, request.value("also", texts));
  out["word_counts"] = tokenizer.word_counts();
  out["word_index"] = tokenizer.word_index();
  out["vocabulary"] = tokenizer.vocabulary();
  out["json"] = to_tokenizer_json(tokenizer);
  return out;
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    json out;
    try {
      out = answer(json::parse(line));
    } catch (const std::exception& e) {
      out = {{"error", e.what()}};
    }
    std::cout << out.dump() << std::endl;
  }
}
