#pragma once
#include <string>

#include "attend/viz/report.h"

namespace attend::viz {

/// The object that the page draws: run, comparison, and an item a sentence in schema
/// attend.explain/1. Every `<` is written \u003c, so that no text can end the script element that
/// holds it. Numbers carry six significant digits; NaN is null.
std::string page_data(const SentimentReport& report);

/// "seen", "unknown", "dropped", "cut"; and the verdict's name as in explain/json.h.
const char* name_of(WordState state);
const char* name_of(Verdict verdict);

}  // namespace attend::viz
