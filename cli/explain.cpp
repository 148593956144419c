// attend explain RUN INPUT: what the model looked at, beside what changed its answer.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/tokenizer.h"
#include "attend/explain/json.h"
#include "attend/ops/machine.h"
#include "attend/viz/terminal.h"
#include "explain.h"
#include "explained.h"
#include "generation.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;
using Explanations = std::vector<explain::SentenceExplanation>;

bool is_folder(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_finished(const std::string& run) {
  return ::access((run + "/SHA256SUMS").c_str(), F_OK) == 0;
}

/// The first argument is a run; further ones are runs as long as they are folders.
std::vector<std::string> runs_of(const ExplainOptions& o) {
  std::vector<std::string> runs = {o.words.front()};
  while (runs.size() < o.words.size() && is_folder(o.words[runs.size()]))
    runs.push_back(o.words[runs.size()]);
  return runs;
}

Rows rows_of_words(const std::vector<std::string>& words, std::size_t first) {
  Rows rows;
  for (std::size_t i = first; i < words.size(); ++i) {
    check_sentence(words[i], i - first + 1);
    data::Example example;
    example.text = words[i];
    example.label = -1;
    rows.examples.push_back(std::move(example));
  }
  return rows;
}

/// Sentences of the command line from place `first` on, or else of the run's or other data.
Rows rows_of(const ExplainOptions& o, const train::Run& run, std::size_t first) {
  Rows rows;
  if (first < o.words.size()) {
    if (!o.data.empty() || !o.split.empty() || o.count)
      fail_usage("give sentences, or --data, --split and --count to choose them, not both");
    rows = rows_of_words(o.words, first);
  } else {
    train::LabelledRows labelled = train::labelled_rows(run, o.data, o.split);
    rows.data = labelled.data;
    rows.part = labelled.split;
    rows.examples = std::move(labelled.rows.examples);
  }
  rows.ids.resize(rows.examples.size());
  std::iota(rows.ids.begin(), rows.ids.end(), 1);
  return rows;
}

/// Explaining costs a forward pass a word; a large part is thinned evenly, and that is said.
void thin(Output& out, Rows& rows, std::size_t wanted) {
  const std::size_t most = std::max<std::size_t>(2000, wanted), n = rows.examples.size();
  if (n <= most) return;
  std::vector<data::Example> kept;
  for (std::size_t i = 0; i < most; ++i) {
    kept.push_back(std::move(rows.examples[i * n / most]));
    rows.ids[i] = rows.ids[i * n / most];
  }
  rows.examples = std::move(kept);
  rows.ids.resize(most);
  out.note("every figure but accuracy over seeds is of " + std::to_string(most) + " of " +
           std::to_string(n) + " sentences, taken evenly");
}

/// Over every explained sentence, shown or not; null where not measured.
json summary_of(const Explanations& explanations) {
  const explain::Summary s = explain::summarise(explanations);
  return {{"sentences", s.sentences},
          {"median_tau", s.median_tau},
          {"median_seed_agreement", s.median_seed_agreement},
          {"mean_attention_on_padding", s.mean_attention_on_padding},
          {"on_deciding_words",
           {{"sentences", s.with_truth},
            {"by_chance", s.words},
            {"attention", s.attention},
            {"leave_one_out", s.leave_one_out},
            {"gradient_x_input", s.gradient_x_input}}}};
}

void print_document(Output& out, const train::Run& run, const Explanations& explanations,
                    const std::vector<std::size_t>& chosen, bool several) {
  std::vector<std::string> documents;
  for (const std::size_t place : chosen)
    documents.push_back(explain::to_json(explanations[place], run.path, run.label_names));
  print_explanations(out, run.path, documents, several,
                     several ? summary_of(explanations).dump() : "");
}

void write_files(const ExplainOptions& o, const std::vector<System>& systems, const Rows& rows,
                 const Explanations& explanations, const std::vector<std::size_t>& chosen) {
  check_pictures(o, chosen.size());
  const auto draw = [&](const std::string& file, auto drawing) {
    if (file.empty()) return;
    const viz::Sentence sentence = sentence_of(explanations[chosen[0]], rows.ids[chosen[0]]);
    write_file_atomically(file, drawing(sentence, systems.back().first().label_names));
  };
  draw(o.svg, viz::svg);
  draw(o.png, viz::png);
  if (!o.html.empty())
    write_file_atomically(o.html, viz::html(report_of(systems, rows, explanations, chosen)));
}

int explain_rows(Output& out, const ExplainOptions& o, const std::vector<std::string>& folders) {
  const bool from_data = folders.size() == o.words.size();
  const std::vector<System> systems = load_systems(folders);
  Rows rows = rows_of(o, systems.back().first(), folders.size());
  const std::size_t count = from_data ? wanted_sentences(o) : rows.examples.size();
  thin(out, rows, count);
  const train::Run& run = systems.back().first();
  const std::vector<explain::Input> inputs = inputs_of(run, rows.examples);
  explain::Options how = options_of(run);
  how.self_attention = false;  // of the chosen alone
  Explanations explanations = explain::explain_sentences(systems.back().classifiers(), inputs, how);
  const auto chosen = choose(explanations, count);
  for (const std::size_t place : chosen)
    explain::add_self_attention(explanations[place], *run.classifier, inputs[place], how);
  write_files(o, systems, rows, explanations, chosen);
  if (out.json()) {
    print_document(out, run, explanations, chosen, from_data || rows.examples.size() > 1);
    return 0;
  }
  if (print_written(out, o)) return 0;
  const viz::TerminalOptions options = terminal_options(out);
  for (std::size_t i = 0; i < chosen.size(); ++i)
    out.raw((i == 0 ? "" : "\n") +
            viz::terminal(sentence_of(explanations[chosen[i]], rows.ids[chosen[i]]),
                          run.label_names, options));
  return 0;
}

/// Kinds of which several runs have nothing to say to each other.
struct ExplainedAlone {
  train::TaskKind kind;
  const char* plural;
  int (*explain)(Output&, const ExplainOptions&);
};
constexpr ExplainedAlone kExplainedAlone[] = {
    {train::TaskKind::kTranslation, "translations", explain_translations},
    {train::TaskKind::kCaptioning, "captions", explain_captions},
    {train::TaskKind::kLanguage, "language models", explain_texts}};

int explain_run(Output& out, const ExplainOptions& o) {
  use_threads(static_cast<int>(o.threads.value_or(0)));
  const std::vector<std::string> folders = runs_of(o);
  if (is_finished(folders.front()) &&
      train::kind_of_run(folders.front()) == train::TaskKind::kGeneration)
    return explain_drawing(out, o);
  if (!o.apng.empty()) fail_usage("--apng: only a run that draws makes a film");
  if (folders.size() == o.words.size() && o.data.empty() && o.split.empty() && !o.count)
    fail_usage(
        "no input: give a sentence (of a captioner an image), or --split validation to take "
        "sentences from the run's data");
  // A folder of seed-N runs is of classifiers; what is no run at all fails where it is loaded.
  const train::TaskKind kind = is_finished(folders.front()) ? train::kind_of_run(folders.front())
                                                            : train::TaskKind::kClassification;
  for (const auto& one : kExplainedAlone) {
    if (kind != one.kind) continue;
    if (folders.size() > 1)
      fail_usage("'" + folders[1] + "': " + one.plural + " are explained one run at a time");
    return one.explain(out, o);
  }
  return explain_rows(out, o, folders);
}

}  // namespace

std::size_t wanted_sentences(const ExplainOptions& o) {
  return o.count.value_or(o.html.empty() ? 5 : 100);
}

void check_sentence(const std::string& text, std::size_t number) {
  const std::string name = "sentence " + std::to_string(number);
  if (!data::is_utf8(text)) fail_input(name + " is not valid UTF-8");
  if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos)
    fail_input(name + " is empty: give at least one word");
}

void check_pictures(const ExplainOptions& o, std::size_t chosen) {
  if (chosen == 1 || (o.svg.empty() && o.png.empty())) return;
  fail_usage(std::string(o.svg.empty() ? "--png" : "--svg") +
             ": draws one sentence, and there are " + std::to_string(chosen));
}

void print_explanations(Output& out, const std::string& run,
                        const std::vector<std::string>& documents, bool several,
                        const std::string& summary) {
  std::string list;
  for (const std::string& document : documents) list += (list.empty() ? "" : ",") + document;
  if (!several) return out.line(list);
  out.line("{\"schema\":\"attend.explain/1\",\"run\":" + json(run).dump() +
           (summary.empty() ? "" : ",\"summary\":" + summary) + ",\"explanations\":[" + list +
           "]}");
}

bool print_written(Output& out, const ExplainOptions& o) {
  bool written = false;
  for (const std::string& file : {o.html, o.svg, o.png, o.apng})
    if (!file.empty()) out.line(file), written = true;
  return written;
}

viz::TerminalOptions terminal_options(const Output& out) {
  viz::TerminalOptions options;
  const char* depth = std::getenv("COLORTERM");
  const std::string colours = depth == nullptr ? "" : depth;
  if (out.colour())
    options.colour =
        colours == "truecolor" || colours == "24bit" ? viz::Colour::kTrue : viz::Colour::k256;
  // "foreground;background" by number, where the terminal tells; 7 and 9 to 15 are light.
  const char* pair = std::getenv("COLORFGBG");
  const std::string colour_pair = pair == nullptr ? "" : pair;
  if (const auto at = colour_pair.rfind(';'); at != std::string::npos) {
    const int background = std::atoi(colour_pair.c_str() + at + 1);
    options.dark = background < 7 || background == 8;
  }
  options.width = out.width();
  return options;
}

void add_explain(Program& program) {
  const auto o = std::make_shared<ExplainOptions>();
  const Verb verb =
      program.verb("explain", "Show what a run looked at, beside what changed its answer");
  verb.positionals("RUN", Kind::kRun, o->words, Need::kRequired,
                   "the folder of a run, or of a classifier several (seeds, other models), then "
                   "the sentences, or the image files, to explain; of a run that draws, an image "
                   "file or PART:NUMBER of its data");
  verb.text("--data", Kind::kData, o->data,
            "take sentences from this data set (default: what the run was trained on)");
  verb.choice("--split", {"train", "validation", "test", "all"}, o->split,
              "part of the data to take sentences from");
  verb.number("--count", o->count, 1, 100'000,
              "number of sentences, of a classifier half of them wrong answers (default: 5, or 100 "
              "in a page)");
  verb.text("--html", Kind::kFile, o->html, "write one self-contained page");
  verb.text("--svg", Kind::kFile, o->svg, "write a picture of one sentence");
  verb.text("--png", Kind::kFile, o->png, "write the same picture as pixels");
  verb.text("--apng", Kind::kFile, o->apng,
            "of a run that draws: write the film as an animated PNG");
  verb.number("--threads", o->threads, 1, 1024, "threads to use (default: all cores)");
  verb.example("attend explain runs/quick 'Great phone, bad battery.'");
  verb.example("attend explain runs/numbers 'three hundred and five' --svg alignment.svg");
  verb.example("attend explain runs/digits test:0 --html digit.html");
  verb.example("attend explain runs/captions photo.jpg --html maps.html");
  verb.example("attend explain runs/text 'The king is' --html reading.html");
  verb.example("attend explain runs/lstm runs/attention --split validation --html report.html");
  verb.run([o](Output& out) { return explain_run(out, *o); });
}

}  // namespace attend::cli
