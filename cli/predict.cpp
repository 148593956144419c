// attend predict RUN: one line out for each line in.
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/data/load.h"
#include "attend/data/tokenizer.h"
#include "attend/ops/machine.h"
#include "attend/train/run.h"
#include "attend/viz/terminal.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

struct PredictOptions {
  std::string run, file;
  std::optional<std::string> input;
  std::optional<std::uint64_t> threads;
};

/// A line of stdin is answered at once; of a file, many are answered together.
bool is_interactive(const std::string& path) {
  if (path != "-") return false;
  struct stat info {};
  return ::fstat(STDIN_FILENO, &info) != 0 || !S_ISREG(info.st_mode);
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
}

class Predictor {
 public:
  Predictor(Output& out, const train::Run& run, bool at_once)
      : out_(out), run_(run), most_(at_once ? 1 : 512) {}

  void add(const std::string& text, const std::string& where) {
    texts_.push_back(text);
    places_.push_back(where);
    if (texts_.size() >= most_) finish();
  }

  /// Answers what is waiting, in order, and hands it to the system.
  void finish() {
    if (texts_.empty()) return;
    const auto predictions = train::predict(run_, texts_);
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      note_if_unread(i);
      print(texts_[i], predictions[i]);
    }
    texts_.clear();
    places_.clear();
    out_.flush();
  }

 private:
  void note_if_unread(std::size_t i) {
    if (!run_.tokenizer.kept_tokens(texts_[i]).empty()) return;
    constexpr int kMost = 5;
    if (++notes_ > kMost) return;
    std::string why =
        "holds only words that the run does not know; the answer is that of an empty sentence";
    if (is_blank(texts_[i]))
      why = "is empty; no answer is given";
    else if (run_.tokenizer.tokenize(texts_[i]).empty())
      why = "holds no word; the answer is that of an empty sentence";
    out_.note(places_[i] + " " + why +
              (notes_ == kMost ? " (further such lines are not mentioned)" : ""));
  }

  void print(const std::string& text, const train::Prediction& p) {
    const bool blank = is_blank(text);
    if (out_.json())
      out_.document({{"input", text},
                     {"label", blank ? json() : json(p.label_name)},
                     {"probability", blank ? json() : json(p.probability)}});
    else
      out_.line(blank ? ""
                      : p.label_name + "\t" + fixed(p.probability, 4) + "\t" + viz::safe(text));
  }

  Output& out_;
  const train::Run& run_;
  std::size_t most_;
  int notes_ = 0;
  std::vector<std::string> texts_, places_;
};

void predict_lines(Predictor& predictor, const std::string& path) {
  const std::string name = path == "-" ? "standard input" : path;
  const auto use = [&](const data::InputLine& line) {
    const std::string where = name + ":" + std::to_string(line.number);
    if (!line.problem.empty()) {
      predictor.finish();  // what came before is answered
      fail_input(where + ": " + line.problem);
    }
    predictor.add(line.text, where);
    return true;
  };
  try {
    data::read_lines(path, use);
  } catch (const Error&) {  // a line too long, or a read that failed half-way
    predictor.finish();
    throw;
  }
  predictor.finish();
}

/// The sentence on the command line, if there is one.
std::optional<std::string> sentence_of(const PredictOptions& o) {
  if (o.input && !o.file.empty()) fail_usage("give a sentence or --input FILE, not both");
  if (!o.input && o.file.empty() && ::isatty(STDIN_FILENO) == 1)
    fail_usage("no input: give a sentence, --input FILE, or '-' to type lines");
  if (!o.input || *o.input == "-") return std::nullopt;
  if (!data::is_utf8(*o.input)) fail_input("the sentence is not valid UTF-8");
  if (is_blank(*o.input)) fail_input("the sentence is empty: give at least one word");
  return o.input;
}

int predict(Output& out, const PredictOptions& o) {
  const auto sentence = sentence_of(o);
  const std::string path = o.file.empty() ? "-" : o.file;
  use_threads(static_cast<int>(o.threads.value_or(0)));
  const train::Run run = train::load_run(o.run);
  Predictor predictor(out, run, is_interactive(path));
  if (sentence) {
    predictor.add(*sentence, "the sentence");
    predictor.finish();
  } else {
    predict_lines(predictor, path);
  }
  return 0;
}

}  // namespace

void add_predict(Program& program) {
  const auto o = std::make_shared<PredictOptions>();
  const Verb verb =
      program.verb("predict", "Label a sentence, or each line of a file or of standard input");
  verb.positional("RUN", Kind::kRun, o->run, Need::kRequired, "the folder of a run");
  verb.given("INPUT", o->input,
             "a sentence; '-' or nothing: lines of standard input, each answered at once");
  verb.text("--input", Kind::kFile, o->file, "a file with one sentence a line");
  verb.number("--threads", o->threads, 1, 1024, "threads to use (default: all cores)");
  verb.example("attend predict runs/quick 'Great phone, bad battery.'");
  verb.example("attend predict runs/quick --json < sentences.txt");
  verb.run([o](Output& out) { return predict(out, *o); });
}

}  // namespace attend::cli
