#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/viz/report.h"
#include "attend/viz/terminal.h"

/// Pictures of what a language model looked back on while it read, as the shaded words of Cheng et al. (2016, Figure 1). No tensors.
namespace attend::viz {

/// One text. Matrices are [token read][token looked back on], square, NaN where the model may not look; one that was not
/// measured is empty, and so is a list.
struct Reading {
  std::int64_t id = 0;  // place on the command line, 1-based; names it in address and file names
  std::vector<std::string> tokens;        // any bytes
  bool characters = false;                // a token is a character: no space between them
  std::vector<double> log_probabilities;  // of each token given those before, in nats
  std::vector<std::string> guesses;       // the likeliest token behind each
  std::vector<double> guess_log_probabilities;
  std::vector<AttentionMap> maps;            // of each layer and head
  std::vector<std::vector<double>> weights;  // mean over layers and heads
  std::vector<std::vector<double>> effects;  // on the next token's log p, in nats
  std::vector<double> leave_one_out;         // one a token: its effects summed
  Agreement attention_leave_one_out;         // within each token, averaged
  Verdict verdict = Verdict::kNoAttention;
  std::int64_t same_token = 0, compared = 0;  // rows where both measures name the same token
  std::int64_t cut = 0;                       // tokens in front that were not read
};

struct ReadingReport {
  std::string run, model, model_detail, data, data_detail, trained;  // as in SentimentReport
  bool sample = false;
  std::int64_t seed = 0;
  std::string quality, quality_detail;  // may be empty
  std::vector<Reading> readings;
};

/// Whether the shading says what the guesses needed.
VerdictText verdict_text(const Reading& reading);

/// One self-contained file, as html(SentimentReport): the text, where a chosen token shades those it looked back on and
/// underlines those its guess of the next one needed; the triangular matrix; the verdict with a row of bars a token; and the text
/// so far, a line a token. Throws kUsage when a list or matrix has another shape than its tokens say. Cost: O(bytes).
std::string html(const ReadingReport& report);

/// Figure 1 of Cheng et al. as a stand-alone SVG: a line for each of the last 24 tokens with the text up to it, each token on the
/// shade of its weight over a line for its effect, and behind it what followed with its probability. Long lines lose their
/// beginning. Throws as html.
std::string svg(const Reading& reading);
/// The same picture as the bytes of a PNG file, as png(Sentence).
std::string png(const Reading& reading);

/// A row a token: the text so far, shaded by weight with the token being read in brackets, and behind it a table of the last
/// 2 · options.top tokens: probability, the token looked at most, the token whose deletion costs the next guess most. Long
/// rows lose their beginning. Throws as html.
std::string terminal(const Reading& reading, const TerminalOptions& options = {});

}  // namespace attend::viz
