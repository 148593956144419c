// attend predict RUN: one line out for each line in.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/data/image.h"
#include "attend/data/load.h"
#include "attend/data/tokenizer.h"
#include "attend/ops/machine.h"
#include "attend/train/captioning.h"
#include "attend/train/language.h"
#include "attend/train/run.h"
#include "attend/train/translation.h"
#include "attend/viz/terminal.h"
#include "generation.h"
#include "output.h"
#include "precision.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

struct PredictOptions {
  std::string run, file;
  std::optional<std::string> input;
  std::optional<std::uint64_t> threads;
  std::string precision = "float32";
  SampleOptions samples;
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

/// What a run says of texts, one line each.
class Answers {
 public:
  virtual ~Answers() = default;
  /// `places` says where each text came from, for notes.
  virtual void print(Output& out, const std::vector<std::string>& texts,
                     const std::vector<std::string>& places) = 0;
};

class Labels final : public Answers {
 public:
  explicit Labels(const std::string& run) : run_(train::load_run(run)) {}

  void print(Output& out, const std::vector<std::string>& texts,
             const std::vector<std::string>& places) override {
    const auto predictions = train::predict(run_, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      note_if_unread(out, texts[i], places[i]);
      print_one(out, texts[i], predictions[i]);
    }
  }

 private:
  void note_if_unread(Output& out, const std::string& text, const std::string& place) {
    const std::vector<train::ReadWord> words = train::read_words(run_, text);
    if (std::any_of(words.begin(), words.end(), [](const auto& w) { return w.id != 0; })) return;
    constexpr int kMost = 5;
    if (++notes_ > kMost) return;
    std::string why =
        "holds only words that the run does not know; the answer is that of an empty sentence";
    if (is_blank(text))
      why = "is empty; no answer is given";
    else if (words.empty())
      why = "holds no word; the answer is that of an empty sentence";
    out.note(place + " " + why +
             (notes_ == kMost ? " (further such lines are not mentioned)" : ""));
  }

  static void print_one(Output& out, const std::string& text, const train::Prediction& p) {
    const bool blank = is_blank(text);
    if (out.json())
      out.document({{"input", text},
                    {"label", blank ? json() : json(p.label_name)},
                    {"probability", blank ? json() : json(p.probability)}});
    else
      out.line(blank ? "" : p.label_name + "\t" + fixed(p.probability, 4) + "\t" + viz::safe(text));
  }

  const train::Run run_;
  int notes_ = 0;
};

class Translations final : public Answers {
 public:
  Translations(const std::string& run, Precision precision)
      : run_(train::load_translation(run, precision)) {}

  /// An empty line gives an empty line, so that line numbers hold.
  void print(Output& out, const std::vector<std::string>& texts,
             const std::vector<std::string>&) override {
    const auto found = train::translate(run_, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const train::Translation& t = found[i];
      if (out.json())
        out.document({{"input", texts[i]},
                      {"translation", t.text},
                      {"score", t.source_tokens.empty() ? json() : json(t.score)},
                      {"alignment", t.alignment},
                      {"source_tokens", t.source_tokens},
                      {"target_tokens", t.target_tokens}});
      else
        out.line(viz::safe(t.text));
    }
  }

 private:
  const train::TranslationRun run_;
};

/// Texts are the names of image files.
class Captions final : public Answers {
 public:
  explicit Captions(const std::string& run) : run_(train::load_captioning(run)) {}

  void print(Output& out, const std::vector<std::string>& texts,
             const std::vector<std::string>&) override {
    std::size_t answered = 0;
    std::vector<data::Image> images;
    const auto answer = [&] {
      for (const train::WrittenCaption& caption : train::caption(run_, images))
        print_one(out, texts[answered++], caption);
      images.clear();
    };
    for (const std::string& path : texts) {
      try {
        images.push_back(data::read_image(path));
      } catch (const Error&) {
        answer();  // what came before is answered
        throw;
      }
      if (images.size() >= kTogether) answer();
    }
    answer();
  }

 private:
  static constexpr std::size_t kTogether = 32;  // whole images in memory

  static void print_one(Output& out, const std::string& path, const train::WrittenCaption& c) {
    if (out.json())
      out.document({{"input", path}, {"caption", c.text}, {"score", c.score}});
    else
      out.line(viz::safe(c.text));
  }

  const train::CaptioningRun run_;
};

/// How texts go on, drawn from a language model.
class Continuations final : public Answers {
 public:
  Continuations(const std::string& run, std::uint64_t seed)
      : run_(train::load_language(run)), seed_(seed) {}

  void print(Output& out, const std::vector<std::string>& texts,
             const std::vector<std::string>&) override {
    const auto found = train::continue_texts(run_, texts, seed_);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (out.json())
        out.document(
            {{"input", texts[i]}, {"continuation", found[i].text}, {"score", found[i].score}});
      else
        out.line(lines_of(texts[i] + found[i].text));
    }
    seed_ += 1;  // the next lines are drawn anew
  }

 private:
  /// Made safe line by line: text that runs on keeps its line breaks.
  static std::string lines_of(const std::string& text) {
    std::string out;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      out += viz::safe(text.substr(begin, end - begin)) + "\n";
    return out + viz::safe(text.substr(begin));
  }

  const train::LanguageRun run_;
  std::uint64_t seed_;
};

std::unique_ptr<Answers> answers_of(const PredictOptions& o) {
  switch (train::kind_of_run(o.run)) {
    case train::TaskKind::kTranslation:
      return std::make_unique<Translations>(o.run, precision_of(o.precision));
    case train::TaskKind::kCaptioning:
      return std::make_unique<Captions>(o.run);
    case train::TaskKind::kLanguage:
      return std::make_unique<Continuations>(o.run, o.samples.seed.value_or(1));
    default:
      return std::make_unique<Labels>(o.run);
  }
}

/// Collects texts and has them answered, in order.
class Predictor {
 public:
  Predictor(Output& out, Answers& answers, bool at_once)
      : out_(out), answers_(answers), most_(at_once ? 1 : 512) {}

  void add(const std::string& text, const std::string& where) {
    texts_.push_back(text);
    places_.push_back(where);
    if (texts_.size() >= most_) finish();
  }

  /// Answers what is waiting and hands it to the system.
  void finish() {
    if (texts_.empty()) return;
    answers_.print(out_, texts_, places_);
    texts_.clear();
    places_.clear();
    out_.flush();
  }

 private:
  Output& out_;
  Answers& answers_;
  std::size_t most_;
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

int predict_images(Output& out, const PredictOptions& o) {
  if (o.input || !o.file.empty())
    fail_usage("'" + o.run +
               "' draws images and takes no input; --count and --seed choose samples");
  use_threads(static_cast<int>(o.threads.value_or(0)));
  SampleOptions samples = o.samples;
  samples.run = o.run;
  return predict_samples(out, samples);
}

int predict(Output& out, const PredictOptions& o) {
  const train::TaskKind kind = train::kind_of_run(o.run);
  if (kind == train::TaskKind::kGeneration) return predict_images(out, o);
  if (!o.samples.out.empty() || o.samples.count)
    fail_usage("--count and --out are for runs that draw images");
  if (o.samples.seed && kind != train::TaskKind::kLanguage)
    fail_usage("--seed: the answers of a " + train::task_name(kind) + " run are not drawn");
  if (o.precision == "int8" && kind != train::TaskKind::kTranslation)
    fail_usage("--precision int8 is for a Transformer that translates");
  const auto sentence = sentence_of(o);
  const std::string path = o.file.empty() ? "-" : o.file;
  use_threads(static_cast<int>(o.threads.value_or(0)));
  const std::unique_ptr<Answers> answers = answers_of(o);
  Predictor predictor(out, *answers, is_interactive(path));
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
  const Verb verb = program.verb(
      "predict",
      "Label, translate or continue a sentence, or describe an image; or each line of a file or of "
      "standard input; of a run that draws, a sheet of samples");
  verb.positional("RUN", Kind::kRun, o->run, Need::kRequired, "the folder of a run");
  verb.given("INPUT", o->input,
             "a sentence, or an image file; '-' or nothing: lines of standard input, each "
             "answered at once");
  verb.text("--input", Kind::kFile, o->file,
            "a file with one sentence, or the name of one image, a line");
  verb.number("--threads", o->threads, 1, 1024, "threads to use (default: all cores)");
  add_precision(verb, o->precision);
  verb.number("--count", o->samples.count, 1, 10'000, "images: number of samples (default: 100)");
  verb.number("--seed", o->samples.seed, 0, (std::uint64_t{1} << 63) - 1,
              "of what is drawn: images, or how a text goes on (default: 1)");
  verb.text("--out", Kind::kFile, o->samples.out,
            "images: the PNG file to write (default: samples.png)");
  verb.example("attend predict runs/quick 'Great phone, bad battery.'");
  verb.example("attend predict runs/quick --json < sentences.txt");
  verb.example("attend predict runs/digits --seed 2 --out digits.png");
  verb.example("attend predict runs/captions photo.jpg");
  verb.run([o](Output& out) { return predict(out, *o); });
}

}  // namespace attend::cli
