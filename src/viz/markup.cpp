#include "viz/markup.h"

#include "attend/viz/terminal.h"

namespace attend::viz {

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : safe(text)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out.push_back(c);
  }
  return out;
}

}  // namespace attend::viz
