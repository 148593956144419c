#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/viz/terminal.h"

/// What `attend explain` takes, whatever the run was trained to do.
namespace attend::cli {

class Output;

struct ExplainOptions {
  std::vector<std::string> words;  // runs, then sentences
  std::string data, split, html, svg, png, apng;
  std::optional<std::uint64_t> count, threads;
};

/// Sentences to take from data: a screen or two; a page.
std::size_t wanted_sentences(const ExplainOptions& options);

/// Throws kBadInput unless the text, the `number`th on the command line, is UTF-8 with a word in it.
void check_sentence(const std::string& text, std::size_t number);

/// As far as the terminal and its user say.
viz::TerminalOptions terminal_options(const Output& out);

/// Throws kUsage unless one sentence was chosen where a picture of one is asked for.
void check_pictures(const ExplainOptions& options, std::size_t chosen);
/// Prints the names of the files that were asked for; true if there are any.
bool print_written(Output& out, const ExplainOptions& options);

/// Prints documents of schema attend.explain/1: one alone, or where `several` were asked for, one that lists them under the run,
/// behind its `summary` if there is one.
void print_explanations(Output& out, const std::string& run,
                        const std::vector<std::string>& documents, bool several,
                        const std::string& summary = "");

/// `attend explain` of a translation run, options.words[0], and the sentences from options.words[1] on.
int explain_translations(Output& out, const ExplainOptions& options);

/// The same of a captioning run and image files.
int explain_captions(Output& out, const ExplainOptions& options);

/// The same of a language run and texts.
int explain_texts(Output& out, const ExplainOptions& options);

}  // namespace attend::cli
