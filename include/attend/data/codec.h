#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attend/base/random.h"
#include "attend/data/vocabulary.h"

namespace attend::data {

/// What a token is.
///   kWord       what white space and punctuation set apart. A word that follows white space begins
///               with "▁", so that decoding puts text back as it was: "Hi, you" is ▁Hi , ▁you.
///   kBpe        pieces of such words: byte pair encoding over characters (Sennrich et al. 2016).
///   kCharacter  one code point, white space included.
///   kWordPiece  BERT's: basic tokeniser, then the greedy longest match (Devlin et al. 2019).
/// Text is brought into Unicode's form NFC first; for kWord and kBpe runs of white space become one
/// space and those at the ends go.
enum class TextUnit { kWord, kBpe, kCharacter, kWordPiece };

struct CodecOptions {
  TextUnit unit = TextUnit::kBpe;
  bool lower = false;
  std::int64_t size = 8000;    // most tokens, special ones included (kWord, kBpe, kCharacter)
  std::int64_t min_count = 1;  // rarer words, characters or pairs become no token
};

/// Text to ids and back. Immutable and cheap to copy; every call is thread-safe. Text that is not
/// UTF-8 is kBadInput.
class TextCodec {
 public:
  const Vocabulary& vocabulary() const;
  TextUnit unit() const;
  bool lower() const;
  std::int64_t size() const { return vocabulary().size(); }
  std::int64_t pad() const { return vocabulary().pad(); }
  std::int64_t unk() const { return vocabulary().unk(); }
  std::int64_t bos() const { return vocabulary().bos(); }
  std::int64_t eos() const { return vocabulary().eos(); }

  /// The ids of a text, without bos and eos: exactly those of the package `tokenizers` with the
  /// file of to_json (add_special_tokens=False). The name of a special token in the text becomes
  /// its id, as there. Cost: linear for kWord and kCharacter; n log n in the characters of a word
  /// for kBpe; kWordPiece at most (100 characters)² a word.
  std::vector<std::int64_t> encode(std::string_view text) const;

  /// The same with BPE dropout (Provilkov et al. 2020): each merge is left out with probability
  /// `dropout`, anew for each word. With 0 it is encode; other units know no dropout. Throws kUsage
  /// unless 0 ≤ dropout ≤ 1.
  std::vector<std::int64_t> encode(std::string_view text, double dropout, Random& random) const;

  /// The text of ids. Special tokens are left out but for unk, which is shown by its name. Throws
  /// kBadInput for an id outside the vocabulary.
  std::string decode(std::span<const std::int64_t> ids) const;

  /// The tokens of ids as a reader expects them: "▁" and "##" off, special tokens by their names.
  std::vector<std::string> words(std::span<const std::int64_t> ids) const;

  /// Merges of kBpe in order of rank (ids of left, right, result); empty for others.
  struct Merge {
    std::int64_t left, right, result;
  };
  const std::vector<Merge>& merges() const;

  struct State;
  explicit TextCodec(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const { return *state_; }  // for this room's own sources

 private:
  std::shared_ptr<const State> state_;
};

/// Learns a codec from texts. Ids: pad, unk, bos, eos; then for kWord words by count, then by code
/// points; for kCharacter and kBpe the characters by count cut to what fits, in order of code
/// points, then for kBpe the merges: always the most frequent pair, of equals the one of lowest
/// ids, so that ids and merges are those that `tokenizers` learns. Throws kUsage for kWordPiece
/// (which is only read), a size without room, min_count < 1; kBadInput for texts that are not UTF-8
/// or without a character. Cost of kBpe: distinct words × merges that touch them.
TextCodec train_codec(const std::vector<std::string>& texts, const CodecOptions& options = {});

/// A Hugging Face tokenizer.json that the package `tokenizers` loads and that gives the same ids; kWordPiece's puts [CLS] and
/// [SEP] around them unless told not to (add_special_tokens=False).
std::string to_json(const TextCodec& codec);

/// Reads what to_json writes and what `tokenizers` writes for the same pipelines, BERT's included.
/// `truncation`, `padding` and BERT's post_processor are ignored. Throws kBadInput, naming file and
/// key: not JSON, ids that repeat or leave holes, merges of unknown tokens, special tokens missing,
/// parts of Hugging Face's format that are not ours.
TextCodec codec_from_json(std::string_view json, const std::string& name = "tokenizer.json");

/// BERT's vocab.txt, a token a line, its id the number of the line from 0. Throws kBadInput naming
/// the line for a token that occurs twice, an empty line or one that is not UTF-8.
TextCodec codec_from_vocab_txt(std::string_view text, const std::string& name = "vocab.txt",
                               bool lower = true);

void save_codec(const TextCodec& codec, const std::string& path);  // atomically
/// A tokenizer.json, or a vocab.txt when the name ends in ".txt".
TextCodec load_codec(const std::string& path);

/// Unicode's Normalization Form C (ICU). Throws kBadInput when the text is not UTF-8.
std::string to_nfc(std::string_view text);

}  // namespace attend::data
