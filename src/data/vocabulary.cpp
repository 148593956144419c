#include "attend/data/vocabulary.h"

#include <algorithm>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::data {

SpecialTokens bert_special_tokens() { return {"[PAD]", "[UNK]", "[CLS]", "[SEP]", {"[MASK]"}}; }

Vocabulary::Vocabulary(std::vector<std::string> tokens, SpecialTokens special)
    : tokens_(std::move(tokens)), special_(std::move(special)) {
  ids_.reserve(tokens_.size());
  for (const std::string& token : tokens_) {
    const auto id = static_cast<std::int64_t>(ids_.size());
    if (token.empty())
      fail_input("vocabulary: the token of id " + std::to_string(id) + " is empty");
    require_utf8(token, "vocabulary: a token");
    if (const auto [entry, is_new] = ids_.emplace(token, id); !is_new)
      fail_input("vocabulary: '" + token.substr(0, 60) + "' has the ids " +
                 std::to_string(entry->second) + " and " + std::to_string(id));
  }
  const auto place = [this](const std::string& token) {
    const auto id = find(token);
    if (!id) fail_input("vocabulary: the special token '" + token.substr(0, 60) + "' is missing");
    special_ids_.push_back(*id);
    return *id;
  };
  pad_ = place(special_.pad);
  unk_ = place(special_.unk);
  bos_ = place(special_.bos);
  eos_ = place(special_.eos);
  for (const std::string& other : special_.others) place(other);
  std::sort(special_ids_.begin(), special_ids_.end());
  if (std::adjacent_find(special_ids_.begin(), special_ids_.end()) != special_ids_.end())
    fail_input("vocabulary: two special tokens have the same name");
}

std::optional<std::int64_t> Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string& Vocabulary::token(std::int64_t id) const {
  if (id < 0 || id >= size())
    fail_input("vocabulary: there is no id " + std::to_string(id) + "; it has 0…" +
               std::to_string(size() - 1));
  return tokens_[static_cast<std::size_t>(id)];
}

bool Vocabulary::is_special(std::int64_t id) const {
  return std::binary_search(special_ids_.begin(), special_ids_.end(), id);
}

}  // namespace attend::data
