#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/viz/report.h"
#include "attend/viz/terminal.h"

/// Pictures of what a language model looked back on while it read, as the shaded words of Cheng et al. (2016, Figure 1). No tensors.
namespace attend::viz {

/// One text. Matrices are [token read][token looked back on], square, NaN where the model may not look; one that was not
/// measured is empty.
struct Reading {
  std::vector<std::string> tokens;           // any bytes
  bool characters = false;                   // a token is a character: no space between them
  std::vector<double> log_probabilities;     // of each token given those before, in nats
  std::vector<std::vector<double>> weights;  // mean over layers and heads
  std::vector<std::vector<double>> effects;  // on the next token's log p, in nats
  Agreement attention_leave_one_out;         // within each token, averaged
  Verdict verdict = Verdict::kNoAttention;
  std::int64_t same_token = 0, compared = 0;  // rows where both measures name the same token
  std::int64_t cut = 0;                       // tokens in front that were not read
};

/// Whether the shading says what the guesses needed.
VerdictText verdict_text(const Reading& reading);

/// A row a token: the text so far, shaded by weight with the token being read in brackets, and behind it a table of the last
/// 2 · options.top tokens: probability, the token looked at most, the token whose deletion costs the next guess most. Long
/// rows lose their beginning. Throws kUsage unless matrices are square.
std::string terminal(const Reading& reading, const TerminalOptions& options = {});

}  // namespace attend::viz
