#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace attend::data {

/// Whose rules for quotes and apostrophes hold.
enum class Language { kEnglish, kGerman, kFrench };

/// "en", "de" or "fr"; throws kUsage, naming those, for any other.
Language language_of(std::string_view code);

/// The rules of Moses' normalize-punctuation.perl: typographic quotes, dashes and ellipses to
/// ASCII, spaces around brackets, non-breaking spaces before signs. All of these throw kBadInput
/// for text that is not UTF-8. Cost: linear, some 60 passes.
std::string moses_normalize(std::string_view text, Language language);

/// The rules of Moses' tokenizer.perl without escapes for XML, with a list of abbreviations of our
/// own: "He's 5,300 m up." is He 's 5,300 m up .
std::vector<std::string> moses_tokenize(std::string_view text, Language language);

/// The rules of Moses' detokenizer.perl, so that text can be scored as people write it. Quotation
/// marks are taken to open and close in turn.
std::string moses_detokenize(const std::vector<std::string>& tokens, Language language);

}  // namespace attend::data
