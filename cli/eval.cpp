// attend eval RUN: accuracy, F1, confusion matrix and calibration on labelled data.
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/ops/machine.h"
#include "attend/train/captioning.h"
#include "attend/train/language.h"
#include "attend/train/run.h"
#include "attend/train/translation.h"
#include "generation.h"
#include "output.h"
#include "precision.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

struct EvalOptions {
  std::string run, data, split, against, precision = "float32";
  std::optional<std::uint64_t> threads, samples, images;
};

json evaluation_document(const train::Evaluation& e, const std::vector<std::string>& labels) {
  const train::ClassificationReport& r = e.report;
  auto classes = json::array();
  for (std::size_t c = 0; c < labels.size(); ++c)
    classes.push_back({{"label", labels[c]},
                       {"precision", r.precision.at(c)},
                       {"recall", r.recall.at(c)},
                       {"f1", r.class_f1.at(c)}});
  auto bins = json::array();
  for (const auto& bin : r.bins)
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"n", bin.n},
                    {"confidence", bin.confidence},
                    {"accuracy", bin.accuracy}});
  return {{"run", e.run},
          {"data", e.data},
          {"split", e.split},
          {"n", r.n},
          {"metrics", train::summary(r)},
          {"accuracy_interval", r.accuracy_interval},
          {"labels", labels},
          {"confusion", r.confusion},
          {"classes", classes},
          {"calibration", {{"error", r.calibration_error}, {"bins", bins}}}};
}

void print_confusion(Output& out, const train::ClassificationReport& r,
                     const std::vector<std::string>& labels) {
  std::vector<Align> columns(labels.size() + 4, Align::kRight);
  columns[0] = Align::kLeft;
  Table table(columns);
  std::vector<std::string> head = {"truth \\ answer"};
  head.insert(head.end(), labels.begin(), labels.end());
  for (const char* name : {"precision", "recall", "f1"}) head.push_back(name);
  table.head(head);
  for (std::size_t t = 0; t < labels.size(); ++t) {
    std::vector<std::string> row = {labels[t]};
    for (const std::int64_t n : r.confusion.at(t)) row.push_back(grouped(n));
    for (const double value : {r.precision.at(t), r.recall.at(t), r.class_f1.at(t)})
      row.push_back(fixed(value, 4));
    table.row(row);
  }
  out.table(table);
}

void print_calibration(Output& out, const train::ClassificationReport& r) {
  Table table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  table.head({"confidence", "rows", "mean", "right"});
  for (const auto& bin : r.bins)
    table.row({fixed(bin.low, 2) + "–" + fixed(bin.high, 2), grouped(bin.n),
               fixed(bin.confidence, 3), fixed(bin.accuracy, 3)});
  out.table(table);
  out.line("expected calibration error " + fixed(r.calibration_error, 4));
}

template <class Measured>
json document_of_metrics(const Measured& e) {
  return {{"run", e.run}, {"data", e.data}, {"split", e.split}, {"n", e.n}, {"metrics", e.metrics}};
}

/// Where it was measured, and a line for each metric; `rows` are what was counted.
template <class Measured>
void print_metrics(Output& out, const Measured& e, const char* rows) {
  out.line(e.run + " on " + e.data + ", " + e.split + ", " + grouped(e.n) + " " + rows);
  Table table({Align::kLeft, Align::kRight});
  for (const auto& [name, value] : e.metrics)
    table.row({name, fixed(value, name == "bleu" || name == "chrf" ? 2 : 4)});
  out.table(table);
}

json comparison_document(const train::TranslationEvaluation& other,
                         const train::PairedBootstrap& pair) {
  return {{"run", other.run}, {"bleu", pair.b}, {"difference", pair.b - pair.a}, {"p", pair.p}};
}

json translation_document(const train::TranslationEvaluation& e) {
  json document = document_of_metrics(e);
  document["signature"] = e.bleu.signature;
  document["bleu_interval"] = e.bleu_interval;
  document["by_length"] = json::array();
  for (const train::LengthScore& part : e.by_length)
    document["by_length"].push_back({{"from", part.from},
                                     {"to", part.to},
                                     {"n", part.n},
                                     {"bleu", part.score},
                                     {"interval", part.interval}});
  return document;
}

std::string interval_text(const std::array<double, 2>& interval) {
  return fixed(interval[0], 1) + "–" + fixed(interval[1], 1);
}

void print_by_length(Output& out, const train::TranslationEvaluation& e) {
  Table table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  table.head({"words of the source", "pairs", "bleu", "95 % interval"});
  for (const train::LengthScore& part : e.by_length)
    table.row({std::to_string(part.from) + "–" + std::to_string(part.to), grouped(part.n),
               fixed(part.score, 1), interval_text(part.interval)});
  out.table(table);
}

void print_comparison(Output& out, const train::TranslationEvaluation& other,
                      const train::PairedBootstrap& pair) {
  const double gain = pair.b - pair.a;
  out.line(other.run + ": bleu " + fixed(pair.b, 2) + ", " +
           (gain == 0 ? std::string("the same")
                      : (gain > 0 ? "+" : "") + fixed(gain, 2) + " (paired bootstrap: p " +
                            (pair.p < 0.001 ? "< .001" : "= " + fixed(pair.p, 3)) + ")"));
}

int evaluate_translation(Output& out, const EvalOptions& o) {
  const train::TranslationEvaluation e =
      train::evaluate(train::load_translation(o.run, precision_of(o.precision)), o.data, o.split);
  std::optional<train::TranslationEvaluation> other;
  if (!o.against.empty())
    other = train::evaluate(train::load_translation(o.against), e.data, e.split);
  std::optional<train::PairedBootstrap> pair;
  if (other) pair = train::paired_bootstrap(e.bleu, other->bleu);
  if (out.json()) {
    json document = translation_document(e);
    if (pair) document["against"] = comparison_document(*other, *pair);
    out.document(document);
    return 0;
  }
  print_metrics(out, e, "pairs");
  out.line("bleu: 95 % interval " + interval_text(e.bleu_interval) + "; " + e.bleu.signature);
  out.line("");
  print_by_length(out, e);
  if (pair) print_comparison(out, *other, *pair);
  return 0;
}

int evaluate_captioning(Output& out, const EvalOptions& o) {
  const train::CaptioningEvaluation e =
      train::evaluate(train::load_captioning(o.run), o.data, o.split);
  for (const std::string& note : e.notes) out.note(note);
  if (out.json())
    out.document(document_of_metrics(e));
  else
    print_metrics(out, e, "images");
  return 0;
}

int evaluate_language(Output& out, const EvalOptions& o) {
  const train::LanguageEvaluation e = train::evaluate(train::load_language(o.run), o.data, o.split);
  if (out.json())
    out.document(document_of_metrics(e));
  else
    print_metrics(out, e, "tokens");
  return 0;
}

int evaluate(Output& out, const EvalOptions& o) {
  use_threads(static_cast<int>(o.threads.value_or(0)));
  const train::TaskKind kind = train::kind_of_run(o.run);
  if (kind == train::TaskKind::kGeneration)
    return evaluate_generation(out, {o.run, o.data, o.split, o.samples, o.images});
  if (o.samples || o.images) fail_usage("--samples and --images are for runs that draw images");
  if (kind == train::TaskKind::kTranslation) return evaluate_translation(out, o);
  if (o.precision == "int8") fail_usage("--precision int8 is for a Transformer that translates");
  if (!o.against.empty()) fail_usage("--against compares two runs that translate");
  if (kind == train::TaskKind::kCaptioning) return evaluate_captioning(out, o);
  if (kind == train::TaskKind::kLanguage) return evaluate_language(out, o);
  const train::Run run = train::load_run(o.run);
  const train::Evaluation e = train::evaluate(run, o.data, o.split);
  if (out.json()) {
    out.document(evaluation_document(e, run.label_names));
    return 0;
  }
  const train::ClassificationReport& r = e.report;
  out.line(e.run + " on " + e.data + ", " + e.split + ", " + grouped(r.n) + " rows");
  out.line("accuracy " + fixed(r.accuracy, 4) + " (95 % interval " +
           fixed(r.accuracy_interval[0], 4) + "–" + fixed(r.accuracy_interval[1], 4) + ")  f1 " +
           fixed(r.f1, 4) + "  loss " + fixed(r.loss, 4));
  out.line("");
  print_confusion(out, r, run.label_names);
  out.line("");
  print_calibration(out, r);
  return 0;
}

}  // namespace

void add_eval(Program& program) {
  const auto o = std::make_shared<EvalOptions>();
  const Verb verb = program.verb("eval",
                                 "Measure a run on labelled data (accuracy, F1, confusion matrix, "
                                 "calibration), pairs (BLEU, chrF, perplexity), text (perplexity), "
                                 "captioned images (BLEU, CIDEr, pointing) or images (bound on the "
                                 "likelihood)");
  verb.positional("RUN", Kind::kRun, o->run, Need::kRequired, "the folder of a run");
  verb.text("--data", Kind::kData, o->data,
            "data to measure on (default: what the run was trained on)");
  add_precision(verb, o->precision);
  verb.choice("--split", {"train", "validation", "test", "all"}, o->split,
              "part of the data (default: test if there is one; else validation of the run's own "
              "data, all of other data)");
  verb.number("--threads", o->threads, 1, 1024, "threads to use (default: all cores)");
  verb.number("--samples", o->samples, 1, 1'000'000,
              "images: estimate log p(x) too, by this many importance samples an image");
  verb.number("--images", o->images, 1, 1'000'000,
              "images: number of images for --samples, the first of the part (default: 500)");
  verb.text("--against", Kind::kRun, o->against,
            "translations: another run, for its BLEU on the same pairs and whether the difference "
            "could be chance");
  verb.example("attend eval runs/quick --split validation");
  verb.run([o](Output& out) { return evaluate(out, *o); });
}

}  // namespace attend::cli
