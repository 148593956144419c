#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "attend/viz/report.h"
#include "attend/viz/terminal.h"

/// Pictures of a translation's attention from plain arrays: alignment matrix beside what the translation needed. No tensors.
namespace attend::viz {

/// One explained translation. Matrices are [target][source]; a matrix or list that was not measured is empty, a number NaN.
struct Translation {
  std::int64_t id = 0;  // place in the data, 1-based; names it in address and file names
  std::vector<std::string> source, target;  // one text a token; any bytes
  std::string text;                         // the translation as one string
  std::string reference;                    // what the data say; may be empty
  double score = kMissing;                  // as the search ranked it
  std::vector<std::vector<double>> weights;
  std::vector<std::vector<double>>
      effects;  // log p of the target token lost without the source token, in nats
  std::vector<double> attention;      // one a source token: its weights summed
  std::vector<double> leave_one_out;  // one a source token: its effects summed
  Agreement attention_leave_one_out;  // within each target token, averaged
  Verdict verdict = Verdict::kNoAttention;
  std::int64_t same_token = 0, compared = 0;  // rows where both measures name the same source token
  std::vector<std::pair<std::int64_t, std::int64_t>> alignment;  // (source, target)
};

struct TranslationReport {
  std::string run, model, model_detail, data, data_detail, trained;  // as in SentimentReport
  bool sample = false;
  std::int64_t seed = 0;
  std::string quality,
      quality_detail;  // "BLEU 36.2", "validation, when training ended"; may be empty
  std::vector<Translation> translations;
};

/// One self-contained file, as html(SentimentReport): matrix with labelled rows and columns, a readout for pointer and arrow keys,
/// and beside it the verdict and, for each source token, attention with leave-one-out. Throws kUsage when a matrix has another
/// shape than its tokens say. Cost: O(bytes).
std::string html(const TranslationReport& report);

/// The matrix as a stand-alone SVG: shaded cells, a dot on each row's largest, the verdict, and a row of bars a source token.
std::string svg(const Translation& translation);
/// The same picture as the bytes of a PNG file, as png(Sentence).
std::string png(const Translation& translation);

/// The grid (target tokens are rows), in as many blocks of columns as the width needs; the word pairs, the verdict, and a table of
/// the source tokens.
std::string terminal(const Translation& translation, const TerminalOptions& options = {});

/// The verdict's headline, and what follows from it for the reader.
VerdictText verdict_text(const Translation& translation);

}  // namespace attend::viz
