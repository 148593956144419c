#pragma once
#include <string>

namespace attend::viz {

/// Text for HTML or XML, as content or in a quoted attribute. Control characters, which XML has no way to write, are made
/// visible first.
std::string escaped(const std::string& text);

}  // namespace attend::viz
