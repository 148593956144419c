#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace attend {

/// The candidate that `word` was probably meant to be: smallest number of inserted, deleted,
/// replaced or swapped neighbouring characters, case ignored; the first of equals. Empty when even
/// the best needs more than a third of the longer word's length (at least 2) changed. Cost: |word|
/// · |candidate| per candidate.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "; did you mean 'x'?" for the nearest candidate, else "". To be appended to a message.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace attend
