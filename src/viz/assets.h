#pragma once

namespace attend::viz {

/// The page's style and script, byte for byte as they enter the page (their SHA-256 is in its
/// policy).
extern const char* const kStyle;
extern const char* const kScript;

}  // namespace attend::viz
