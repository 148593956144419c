#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "attend/train/translation_metrics.h"

namespace attend::train {

/// Throws as bleu and chrf promise.
void check_segments(const char* metric, const std::vector<std::string>& hypotheses,
                    const std::vector<References>& references);

/// Is it white space for Python's str.split?
bool is_python_space(char32_t point);

/// Python's str.split() and str.rstrip().
std::vector<std::string> python_split(std::string_view text);
std::string_view python_rstrip(std::string_view text);

}  // namespace attend::train
