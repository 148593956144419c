#include "viz/page.h"

#include "attend/base/file.h"
#include "viz/markup.h"

namespace attend::viz {
namespace {

std::string source_hash(const std::string& text) {  // as content security policy writes it
  const std::string hex = sha256(text);
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return "'sha256-" + base64(bytes) + "'";
}

constexpr char kSample[] =
    "<p class=\"sample\"><strong>Sample data.</strong> Every text and number on this page is "
    "invented, to show the design.</p>\n";

constexpr char kMain[] = R"(<main id="main" tabindex="-1">
<noscript><p class="note">This report draws itself with the script inside this file. The data are in the element with id “data”, as JSON of schema attend.explain/1.</p></noscript>
)";

}  // namespace

std::string written(const Page& p) {
  const std::string name = escaped(p.run);
  std::string page = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src " +
          source_hash(p.style) + "; script-src " + source_hash(p.script) +
          "; img-src data: blob:; base-uri 'none'; form-action 'none'\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += "<meta name=\"color-scheme\" content=\"light dark\">\n";
  page += "<title>" + name + ": what the model looked at</title>\n<style>" + p.style +
          "</style>\n</head>\n<body>\n";
  page += "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n";
  if (p.sample) page += kSample;
  page += "<header>\n<p class=\"over\">attend explain · " + name + "</p>\n";
  page += "<h1>" + p.heading + "</h1>\n<dl class=\"facts\"></dl>\n</header>\n";
  page += kMain + p.body;
  page += "<script type=\"application/json\" id=\"data\">" + p.data + "</script>\n";
  page += "<script>" + p.script + "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace attend::viz
