#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "attend/base/file.h"
#include "attend/viz/terminal.h"
#include "explain.h"
#include "output.h"

namespace attend::cli {

/// Writes the files that were asked for; `report` makes the report of all pictures that the page shows. What draws a picture is
/// found beside its type, in viz.
template <class Picture, class Report>
void write_pictures(const ExplainOptions& o, const std::vector<Picture>& pictures,
                    const Report& report) {
  if (!o.svg.empty()) write_file_atomically(o.svg, svg(pictures.front()));
  if (!o.png.empty()) write_file_atomically(o.png, png(pictures.front()));
  if (!o.html.empty()) write_file_atomically(o.html, html(report()));
}

/// Prints the names of the files, or where none was asked for the pictures.
template <class Picture>
void print_pictures(Output& out, const ExplainOptions& o, const std::vector<Picture>& pictures) {
  if (print_written(out, o)) return;
  const viz::TerminalOptions options = terminal_options(out);
  for (std::size_t i = 0; i < pictures.size(); ++i)
    out.raw((i == 0 ? "" : "\n") + terminal(pictures[i], options));
}

}  // namespace attend::cli
