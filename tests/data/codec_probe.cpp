// What codec_pytest.py drives: one JSON request a line on standard input, one JSON answer a line.
//   {"act":"train","unit":"bpe","lower":false,"size":n,"min_count":n,"texts":[…]} -> {"json":"…"}
//   {"act":"encode","json":"…","texts":[…]}  -> {"ids":[[…]…],"texts":[…],"json":"…"}
//   {"act":"vocab","vocab":"…","lower":true,"texts":[…]}  -> the same, from a vocab.txt
#include <iostream>
#include <nlohmann/json.hpp>

#include "attend/data/codec.h"

using nlohmann::json;
using namespace attend::data;

namespace {

json encoded(const TextCodec& codec, const std::vector<std::string>& texts) {
  json ids = json::array(), back = json::array();
  for (const std::string& text : texts) {
    ids.push_back(codec.encode(text));
    back.push_back(codec.decode(ids.back().get<std::vector<std::int64_t>>()));
  }
  return {{"ids", ids}, {"texts", back}, {"json", to_json(codec)}};
}

json answer(const json& request) {
  const std::string act = request.at("act");
  const auto texts = request.at("texts").get<std::vector<std::string>>();
  if (act == "encode")
    return encoded(codec_from_json(request.at("json").get<std::string>()), texts);
  if (act == "vocab")
    return encoded(codec_from_vocab_txt(request.at("vocab").get<std::string>(), "vocab.txt",
                                        request.at("lower").get<bool>()),
                   texts);
  CodecOptions options;
  const std::string unit = request.at("unit");
  options.unit = unit == "word"        ? TextUnit::kWord
                 : unit == "character" ? TextUnit::kCharacter
                                       : TextUnit::kBpe;
  options.lower = request.value("lower", false);
  options.size = request.value("size", options.size);
  options.min_count = request.value("min_count", options.min_count);
  return {{"json", to_json(train_codec(texts, options))}};
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
