#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace attend::data {

/// Tokens that stand for something other than text.
struct SpecialTokens {
  std::string pad = "<pad>";
  std::string unk = "<unk>";
  std::string bos = "<s>";
  std::string eos = "</s>";
  std::vector<std::string> others;  // as BERT's [MASK]
};

/// BERT's names: [PAD], [UNK], [CLS] as bos, [SEP] as eos, [MASK].
SpecialTokens bert_special_tokens();

/// Tokens and their ids 0…size − 1, both ways.
class Vocabulary {
 public:
  /// tokens[i] has id i. Throws kBadInput, naming the token, when one occurs twice, is empty or not
  /// UTF-8, or when a special token is not among them.
  explicit Vocabulary(std::vector<std::string> tokens, SpecialTokens special = {});
  Vocabulary(const Vocabulary&) = delete;  // the views of ids_ would point into the other
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  std::optional<std::int64_t> find(std::string_view token) const;
  /// Throws kBadInput, naming id and size, when there is no such id.
  const std::string& token(std::int64_t id) const;

  std::int64_t pad() const { return pad_; }
  std::int64_t unk() const { return unk_; }
  std::int64_t bos() const { return bos_; }
  std::int64_t eos() const { return eos_; }
  bool is_special(std::int64_t id) const;
  const std::vector<std::int64_t>& special_ids() const { return special_ids_; }  // ascending
  const SpecialTokens& special() const { return special_; }

 private:
  std::vector<std::string> tokens_;
  SpecialTokens special_;
  std::unordered_map<std::string_view, std::int64_t> ids_;  // views into tokens_
  std::vector<std::int64_t> special_ids_;
  std::int64_t pad_ = 0, unk_ = 0, bos_ = 0, eos_ = 0;
};

}  // namespace attend::data
