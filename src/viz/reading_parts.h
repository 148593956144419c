#pragma once
#include <string>

#include "attend/viz/reading.h"

namespace attend::viz {

/// Throws kUsage naming the first list or matrix that does not fit the tokens.
void check_reading(const Reading& reading);

/// White space is shown where it is a token of its own: "␣", "↵", "⇥".
std::string token_text(const std::string& token);

}  // namespace attend::viz
