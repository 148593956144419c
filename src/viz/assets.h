#pragma once

namespace attend::viz {

/// Each page's style and script, byte for byte as they enter it (their SHA-256 is in its policy).
extern const char* const kCaptionStyle;
extern const char* const kCaptionScript;
extern const char* const kSentimentStyle;
extern const char* const kSentimentScript;
extern const char* const kReadingStyle;
extern const char* const kReadingScript;
extern const char* const kTranslationStyle;
extern const char* const kTranslationScript;
extern const char* const kFilmStyle;
extern const char* const kFilmScript;

}  // namespace attend::viz
