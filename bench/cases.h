#pragma once
#include <array>
#include <cstdint>

namespace attend::bench {

// The shapes that are measured; tests of the same op include this file, so that what is timed is
// also checked.

struct AdditiveCase {
  std::int64_t batch, queries, keys, width, value_width;
  bool prepared = false;
};
/// A decoder's step with keys prepared and not, a whole target sentence at once, and long sequences.
inline constexpr std::array kAdditiveCases = {
    AdditiveCase{64, 1, 30, 256, 256},
    AdditiveCase{64, 1, 30, 256, 256, true},
    AdditiveCase{64, 30, 30, 256, 256},
    AdditiveCase{8, 200, 200, 256, 256},
};

struct CaptionerCase {
  std::int64_t batch, places, width, hidden, words, length;
};
/// The paper's sizes: 14 × 14 annotations of 512, sixteen words of ten thousand; and the shapes of recipes/captioning.
inline constexpr std::array kCaptionerCases = {
    CaptionerCase{64, 196, 512, 512, 10000, 16},
    CaptionerCase{32, 256, 64, 128, 20, 14},
};

struct DecoderStepCase {
  std::int64_t batch, hidden, keys;
};
/// A batch in training, and one sentence's five beams. Token, context and attention are as wide as the state.
inline constexpr std::array kDecoderStepCases = {
    DecoderStepCase{64, 512, 30},
    DecoderStepCase{5, 512, 30},
};

struct DrawCase {
  bool attention;
  std::int64_t batch, steps, hidden, latent;
};
/// The paper's model on MNIST, half its steps: the project's stated goal; and the same without attention.
inline constexpr std::array kDrawCases = {
    DrawCase{true, 128, 32, 256, 100},
    DrawCase{false, 128, 32, 256, 100},
};

struct EncoderLayerCase {
  std::int64_t batch, length, width, heads, inner;
};
/// The base Transformer's layer on short sentences and on long ones.
inline constexpr std::array kEncoderLayerCases = {
    EncoderLayerCase{32, 32, 512, 8, 2048},
    EncoderLayerCase{4, 512, 512, 8, 2048},
};

struct LinearCase {
  std::int64_t rows, input, output;
};
/// The maps of those layers, fewer rows, an odd size, and the maps of a narrow layer with many rows.
inline constexpr std::array kLinearCases = {
    LinearCase{1024, 512, 1536}, LinearCase{1024, 512, 2048}, LinearCase{1024, 2048, 512},
    LinearCase{2048, 512, 512},  LinearCase{64, 512, 512},    LinearCase{500, 300, 700},
    LinearCase{3840, 128, 384},  LinearCase{3840, 256, 128},
};

struct LstmCase {
  std::int64_t batch, time, input, hidden;
};
/// The first two are the project's stated goals: the guide's layer, and a square one that fills the
/// caches. The rest are the guide's evaluation batch, one sentence, and odd sizes whose tails every
/// vector width must handle.
inline constexpr std::array kLstmCases = {
    LstmCase{100, 32, 32, 100}, LstmCase{64, 32, 256, 256}, LstmCase{400, 32, 32, 100},
    LstmCase{1, 32, 32, 100},   LstmCase{37, 19, 31, 77},
};

struct LocalCase {
  std::int64_t length, width, window;
};
/// One window, ever longer rows: the time must grow with the length and not with its square.
inline constexpr std::array kLocalCases = {
    LocalCase{1024, 64, 64}, LocalCase{2048, 64, 64},  LocalCase{4096, 64, 64},
    LocalCase{8192, 64, 64}, LocalCase{16384, 64, 64},
};

struct PoolCase {
  std::int64_t batch, time, channels;
};
inline constexpr std::array kPoolCases = {
    PoolCase{100, 32, 100},
    PoolCase{1, 32, 100},
    PoolCase{64, 128, 512},
    PoolCase{37, 19, 77},
};

enum class SdpaVariant {
  kPlain,
  kCausal,
  kDropout,
  kWeights,
  kHalfLengths,
  kWindow,
  kMask,
  kBfloat16,
  kBfloat16Causal
};

struct SdpaCase {
  std::int64_t batch, heads, length, width;
  SdpaVariant variant = SdpaVariant::kPlain;
};
/// From short and many to long and few: a classifier's batch, a translator's, and language models'. Then lengths and widths
/// that are no multiple of a tile, each before the next multiple; fewer heads than threads; one row for each option; and bfloat16, beside our own float.
inline constexpr std::array kSdpaCases = {
    SdpaCase{8, 8, 32, 16},
    SdpaCase{32, 8, 64, 64},
    SdpaCase{8, 8, 128, 64},
    SdpaCase{4, 8, 512, 16},
    SdpaCase{4, 8, 512, 32},
    SdpaCase{4, 8, 512, 64},
    SdpaCase{4, 8, 512, 128},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kCausal},
    SdpaCase{1, 8, 2048, 64},
    SdpaCase{1, 8, 2048, 64, SdpaVariant::kCausal},
    SdpaCase{1, 8, 4096, 64, SdpaVariant::kCausal},
    SdpaCase{8, 8, 33, 64},
    SdpaCase{8, 8, 48, 64},
    SdpaCase{8, 8, 100, 64},
    SdpaCase{8, 8, 112, 64},
    SdpaCase{4, 8, 500, 64},
    SdpaCase{4, 8, 500, 40},
    SdpaCase{4, 8, 512, 40},
    SdpaCase{4, 8, 512, 48},
    SdpaCase{4, 8, 512, 80},
    SdpaCase{4, 8, 512, 96},
    SdpaCase{1, 1, 2048, 64},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kDropout},
    SdpaCase{1, 8, 2048, 64, SdpaVariant::kDropout},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kWeights},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kHalfLengths},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kMask},
    SdpaCase{1, 8, 1024, 64, SdpaVariant::kWindow},
    SdpaCase{1, 8, 2048, 64, SdpaVariant::kWindow},
    SdpaCase{1, 8, 4096, 64, SdpaVariant::kWindow},
    SdpaCase{4, 8, 512, 32, SdpaVariant::kBfloat16},
    SdpaCase{4, 8, 512, 64, SdpaVariant::kBfloat16},
    SdpaCase{4, 8, 512, 128, SdpaVariant::kBfloat16},
    SdpaCase{1, 8, 2048, 64, SdpaVariant::kBfloat16},
    SdpaCase{1, 8, 2048, 64, SdpaVariant::kBfloat16Causal},
};
/// Keys that a query of kWindow sees.
inline constexpr std::int64_t kSdpaWindow = 64;

struct SparsemaxCase {
  std::int64_t batch, heads, length, width;
};
/// A translator's sentences, and a paragraph.
inline constexpr std::array kSparsemaxCases = {
    SparsemaxCase{8, 8, 32, 16},
    SparsemaxCase{8, 8, 128, 64},
    SparsemaxCase{4, 8, 512, 64},
};

struct TranslatorCase {
  enum class Model { kTransformer, kRnnsearch, kLuongLocal } model;
  std::int64_t batch, length, embedding, hidden, layers,
      words;  // hidden: a Transformer's feed-forward
};
/// The project's stated goals, sizes as good public recipes have them.
inline constexpr std::array kTranslatorCases = {
    TranslatorCase{TranslatorCase::Model::kTransformer, 256, 15, 128, 256, 4, 10000},
    TranslatorCase{TranslatorCase::Model::kTransformer, 32, 25, 512, 2048, 6, 10000},
    TranslatorCase{TranslatorCase::Model::kRnnsearch, 64, 15, 256, 512, 1, 10000},
    TranslatorCase{TranslatorCase::Model::kLuongLocal, 64, 15, 512, 512, 2, 10000},
};

struct VocabularyCase {
  std::int64_t rows, channels, words;
};
/// A batch of target words of a small and of a large Transformer; a small vocabulary; odd sizes.
inline constexpr std::array kVocabularyCases = {
    VocabularyCase{3840, 128, 10000},
    VocabularyCase{3840, 512, 10000},
    VocabularyCase{640, 256, 1000},
    VocabularyCase{777, 100, 3001},
};

struct FilterbankCase {
  std::int64_t batch, channels, height, width, filters;
};
/// DRAW on MNIST (Gregor et al. 2015, table 3) with the paper's windows, and a colour image.
inline constexpr std::array kFilterbankCases = {
    FilterbankCase{128, 1, 28, 28, 2},
    FilterbankCase{128, 1, 28, 28, 5},
    FilterbankCase{128, 1, 28, 28, 12},
    FilterbankCase{64, 3, 32, 32, 5},
};

}  // namespace attend::bench
