// attend man: the manual page (roff, man(7) macros), from the table of options.
#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include "app.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

/// Text for roff: a backslash, a leading dot or quote, and '-' (which roff may turn into a hyphen) are escaped; what
/// is beyond ASCII is named by code point, so that the page renders in every locale.
std::string roff(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      const bool first = out.empty() || out.back() == '\n';
      if (first && (byte == '.' || byte == '\'')) out += "\\&";
      if (byte == '\\')
        out += "\\e";
      else if (byte == '-')
        out += "\\-";
      else if (byte == '\'')
        out += "\\(aq";
      else if (byte == '~')
        out += "\\(ti";
      else if (byte == '^')
        out += "\\(ha";
      else if (byte == '`')
        out += "\\(ga";
      else
        out += static_cast<char>(byte);
      continue;
    }
    const int more = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    unsigned point = byte & (0x3Fu >> more);
    for (int k = 0; k < more && i + 1 < text.size(); ++k)
      point = (point << 6) | (static_cast<unsigned char>(text[++i]) & 0x3Fu);
    std::string hex;
    for (unsigned rest = point; rest != 0; rest >>= 4) hex.insert(hex.begin(), kDigits[rest & 15]);
    out += "\\[u" + std::string(hex.size() < 4 ? 4 - hex.size() : 0, '0') + hex + "]";
  }
  return out;
}

std::string tagged(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + roff(text) + "\n";
}

std::string options_section(const CLI::App& app) {
  std::string out;
  for (const OptionText& argument : arguments_of(app))
    out += tagged("\\fI" + roff(argument.names) + "\\fR", argument.help);
  for (const OptionText& option : options_of(app)) {
    const bool everywhere = option.names == "--json" || option.names == "-h, --help";
    if (everywhere && app.get_parent() != nullptr) continue;  // said once, under OPTIONS
    out += tagged("\\fB" + roff(option.names) + "\\fR" +
                      (option.value.empty() ? "" : " \\fI" + roff(option.value) + "\\fR"),
                  option.help);
  }
  return out;
}

std::string examples_section(const CLI::App& app) {
  if (app.get_footer().empty()) return "";
  std::string lines = roff(app.get_footer());
  return ".PP\nExamples:\n.PP\n.EX\n" + lines + "\n.EE\n";
}

void add_verb(std::string& page, const CLI::App& app) {
  if (verbs_of(app).empty()) {
    page += ".SS \"" + roff(full_name(app).substr(full_name(app).find(' ') + 1)) + "\"\n";
    page += ".B " + roff(synopsis(app)) + "\n.PP\n" + roff(app.get_description()) + ".\n";
    page += options_section(app) + examples_section(app);
  }
  for (const CLI::App* verb : verbs_of(app)) add_verb(page, *verb);
}

constexpr char kStatus[] = R"(.SH EXIT STATUS
.TP
0
all went well
.TP
1
failure, or
.B doctor
found something to mend
.TP
2
the command line makes no sense
.TP
3
bad input, data or model
.TP
4
a file cannot be read or written, or the disk is full
.TP
5
training diverged: the loss or a gradient is not a finite number
.TP
130, 143
ended by SIGINT or SIGTERM;
.B train
has written a checkpoint first
)";

constexpr char kEnvironment[] = R"(.SH ENVIRONMENT
.TP
ATTEND_DATA
folders that hold data sets, separated by colons; looked in before the cache
.TP
ATTEND_CACHE, XDG_CACHE_HOME
fetched data sets are kept in $ATTEND_CACHE, else $XDG_CACHE_HOME/attend, else \(ti/.cache/attend
.TP
NO_COLOR, CLICOLOR_FORCE, TERM
no colour when NO_COLOR is set or TERM is dumb; colour on a pipe too when CLICOLOR_FORCE is set
.TP
COLORTERM
truecolor or 24bit: shades in full colour
.SH FILES
.TP
runs/
where runs are written unless
.B \-\-out
says otherwise. A run is a folder with config.json, model.safetensors, tokenizer.json (a translator's source; target_tokenizer.json),
recipe.toml, metrics.jsonl, README.md, SHA256SUMS and checkpoints/.
)";

std::string page_of(const CLI::App& app) {
  std::string page =
      ".TH ATTEND 1 \"" ATTEND_DATE "\" \"attend " ATTEND_VERSION "\" \"User Commands\"\n";
  page +=
      ".SH NAME\nattend \\- train text classifiers and translators with attention, and see what "
      "they looked at\n";
  page += ".SH SYNOPSIS\n.B attend\n.I VERB\n[\\fIARGUMENT\\fR]...\n";
  page +=
      ".SH DESCRIPTION\nA\n.I recipe\nsays what to train; a\n.I run\nis the folder that holds what "
      "was trained.\n";
  page += "Data go to standard output; notes and progress go to standard error.\n";
  page += ".SH OPTIONS\n" + options_section(app);
  page += tagged("\\fB\\-\\-json\\fR",
                 "taken by every verb: print one JSON document on standard output (predict: one a "
                 "line), nothing else");
  page += ".SH VERBS\n";
  add_verb(page, app);
  return page + kStatus + kEnvironment;
}

}  // namespace

void add_man(Program& program) {
  const Verb verb = program.verb("man", "Print the manual page (roff)");
  verb.example("attend man | man -l -");
  verb.run([&program](Output& out) {
    const std::string page = page_of(program.app());
    if (out.json())
      out.document({{"name", "attend.1"}, {"page", page}});
    else
      out.raw(page);
    return 0;
  });
}

}  // namespace attend::cli
