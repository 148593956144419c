#pragma once
#include <string>

namespace attend::viz {

/// Text for HTML or XML, as content or in a quoted attribute. Control characters, which XML has no way to write, are made
/// visible first.
std::string escaped(const std::string& text);

/// As RFC 4648 writes bytes in 64 letters.
std::string base64(const std::string& bytes);

}  // namespace attend::viz
