#pragma once
#include <string>

namespace attend::viz {

/// What differs from one report to the next.
struct Page {
  std::string run, heading;
  std::string style, script;  // of assets.h
  std::string body;           // what follows the start of <main>
  std::string data;           // JSON, `<` escaped
  bool sample = false;        // says that everything is invented
};

/// The file: everything inside, and a policy that allows nothing else (by SHA-256 of style and script).
std::string written(const Page& page);

}  // namespace attend::viz
