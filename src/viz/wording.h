#pragma once
#include <string>

#include "attend/viz/report.h"

namespace attend::viz {

/// "Shuffled words agree at least this well in 12 of 100 trials, so …", with a space behind.
std::string chance_in_words(const Agreement& agreement);

}  // namespace attend::viz
