#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "attend/data/codec.h"
#include "attend/data/dataset.h"
#include "attend/data/pad.h"
#include "attend/data/tokenizer.h"

namespace attend::data {

struct EncodeOptions {
  std::int64_t max_length = 32;
  End padding = End::kPost;    // as the guide; Keras' own default is kPre
  End truncating = End::kPre;  // Keras' default: the end of a long text is kept
};

/// Texts as a model takes them.
struct Encoded {
  at::Tensor ids;  // [N,T] int64, 0 = padding
  at::Tensor
      lengths;  // [N] int64, ids per row that are not padding; 0 for a text without a known word
  at::Tensor labels;           // [N] int64; undefined for texts without labels
  std::int64_t truncated = 0;  // texts cut to T
  std::int64_t empty = 0;      // texts without a word that has an id
  std::int64_t words = 0;      // words in all texts
  std::int64_t unknown = 0;    // of these, words without an id of their own
};

/// ids[n,:] = pad(tokenizer(text n)). Throws kUsage when max_length < 1, kBadInput for text that is
/// not UTF-8 (naming its file and line). Cost: linear in the bytes.
Encoded encode(const Dataset& set, const Tokenizer& tokenizer, const EncodeOptions& options = {});
Encoded encode_texts(const std::vector<std::string>& texts, const Tokenizer& tokenizer,
                     const EncodeOptions& options = {});

/// The same with a pretrained vocabulary, whose [PAD] has id 0 and is left out where a text spells it; [CLS] and [SEP] are not
/// added. Every piece counts as a word, unknown ones become [UNK].
Encoded encode(const Dataset& set, const TextCodec& codec, const EncodeOptions& options = {});
Encoded encode_texts(const std::vector<std::string>& texts, const TextCodec& codec,
                     const EncodeOptions& options = {});

/// The tokens behind row `text` of `ids`, in the order of its non-padding columns (cut as encode
/// cuts).
std::vector<Token> encoded_tokens(const std::string& text, const Tokenizer& tokenizer,
                                  const EncodeOptions& options = {});

}  // namespace attend::data
