#include "explained.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "attend/base/error.h"
#include "attend/train/metrics.h"
#include "output.h"

namespace attend::cli {
namespace {

namespace fs = std::filesystem;

/// runs/x itself, or runs/x/seed-1, runs/x/seed-2, … in order of seed.
std::vector<std::string> expanded(const std::string& folder) {
  std::map<std::uint64_t, std::string> seeds;
  std::error_code ignored;
  if (!fs::exists(folder + "/SHA256SUMS", ignored))
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename();
      if (name.rfind("seed-", 0) == 0 &&
          name.find_first_not_of("0123456789", 5) == std::string::npos && name.size() > 5)
        seeds[std::stoull(name.substr(5, 18))] = entry.path();
    }
  if (seeds.empty()) return {folder};
  std::vector<std::string> folders;
  for (const auto& [seed, path] : seeds) folders.push_back(path);
  return folders;
}

/// What makes two runs the same system: everything but the seed.
std::string system_key(const train::Run& run) {
  train::Recipe recipe = run.recipe;
  recipe.train.seed = 0;
  return train::recipe_hash(recipe);
}

std::string name_of(const models::ClassifierConfig& c) {
  if (c.architecture == models::ClassifierArchitecture::kBert)
    return "BERT " + std::to_string(c.bert.layers) + " × " + std::to_string(c.bert.width);
  std::string name = c.bidirectional ? "bidirectional " : "";
  name += c.cell == models::Cell::kLstm  ? "LSTM "
          : c.cell == models::Cell::kGru ? "GRU "
                                         : "LSTMN ";
  name += std::to_string(c.hidden);
  if (c.layers > 1) name += " × " + std::to_string(c.layers);
  return name + (c.attention == models::Attention::kNone ? "" : ", attention pooling");
}

bool has_attention(const System& system) { return models::attends(system.first().config); }

void check_same(const System& system) {
  const train::Run& first = system.first();
  const std::string words = train::tokenizer_json(first);
  for (const train::Run& run : system.runs)
    if (run.label_names != first.label_names || train::tokenizer_json(run) != words)
      fail_usage(
          run.path + " and " + first.path +
          " have different vocabularies or labels: explain together only runs of the same data");
}

std::int64_t parameters_of(const train::Run& run) {
  std::int64_t n = 0;
  for (const auto& [name, tensor] : run.classifier->parameters()) n += tensor.numel();
  return n;
}

/// Which words of the text decide, for generated data: truth counts words between spaces.
std::vector<bool> deciding_words(const data::Example& example,
                                 const std::vector<train::ReadWord>& tokens) {
  std::vector<bool> deciding(tokens.size(), false);
  if (example.truth.empty()) return deciding;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    std::size_t place = 0;
    bool inside = false;
    for (std::size_t i = 0; i <= tokens[t].begin && i < example.text.size(); ++i) {
      const bool space = example.text[i] == ' ';
      if (!space && !inside) ++place;
      inside = !space;
    }
    deciding[t] = place > 0 && place <= example.truth.size() && example.truth[place - 1] != 0;
  }
  return deciding;
}

viz::Agreement converted(const explain::Agreement& a) {
  return {a.tau, a.chance, a.band_low, a.band_high};
}
viz::Interval converted(const explain::Interval& i) { return {i.value, i.low, i.high}; }

std::string systems_named(const std::vector<System>& systems, const System& system) {
  const auto same = std::count_if(systems.begin(), systems.end(),
                                  [&](const System& s) { return s.name == system.name; });
  return same == 1 ? system.name : system.name + " (" + system.first().recipe.name + ")";
}

/// Accuracy of every seed of every system, and the paired difference of the last and the first.
void compare(viz::SentimentReport& report, const std::vector<System>& systems, const Rows& rows) {
  for (const System& system : systems) {
    viz::ModelRuns model;
    model.name = systems_named(systems, system);
    model.about = grouped(parameters_of(system.first())) + " weights";
    for (const train::Run& run : system.runs)
      model.accuracies.push_back(train::evaluate(run, rows.data, rows.part).report.accuracy);
    report.models.push_back(std::move(model));
  }
  const auto& a = report.models.front().accuracies;
  const auto& b = report.models.back().accuracies;
  if (report.models.size() > 1 && a.size() == b.size() && a.size() > 1)
    report.difference = converted(explain::paired_difference(a, b));
}

void add_figures(viz::SentimentReport& report, const System& system, const Rows& rows,
                 const std::vector<explain::SentenceExplanation>& explanations) {
  const auto inputs = inputs_of(system.first(), rows.examples);
  const auto options = options_of(system.first());
  models::Classifier& model = *system.first().classifier;
  report.accuracy = converted(explain::accuracy(model, inputs, options));
  report.uniform_accuracy =
      converted(explain::accuracy_with_uniform_attention(model, inputs, options));
  std::vector<std::int64_t> counts(report.label_names.size(), 0);
  for (const auto& example : rows.examples) ++counts.at(static_cast<std::size_t>(example.label));
  report.majority = static_cast<double>(*std::max_element(counts.begin(), counts.end())) /
                    static_cast<double>(rows.examples.size());
  const explain::Summary summary = explain::summarise(explanations);
  report.median_tau = summary.median_tau;
  report.median_seed_agreement = summary.median_seed_agreement;
  report.mean_attention_on_padding = summary.mean_attention_on_padding;
}

void add_other_answers(std::vector<viz::Sentence>& sentences, const std::vector<System>& systems,
                       const std::vector<data::Example>& examples) {
  for (std::size_t s = 0; s + 1 < systems.size(); ++s) {
    const train::Run& run = systems[s].first();
    const auto answers =
        explain::answers(*run.classifier, inputs_of(run, examples), options_of(run));
    for (std::size_t i = 0; i < sentences.size(); ++i)
      sentences[i].others.push_back(
          {systems_named(systems, systems[s]), answers[i].predicted, answers[i].probability});
  }
}

}  // namespace

std::vector<models::Classifier*> System::classifiers() const {
  std::vector<models::Classifier*> all;
  for (const train::Run& run : runs) all.push_back(run.classifier.get());
  return all;
}

std::vector<System> load_systems(const std::vector<std::string>& folders) {
  std::vector<System> systems;
  std::vector<std::string> keys;
  for (const std::string& folder : folders)
    for (const std::string& path : expanded(folder)) {
      train::Run run = train::load_run(path);
      const std::string key = system_key(run);
      const auto at =
          static_cast<std::size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
      if (at == keys.size()) {
        keys.push_back(key);
        systems.push_back({name_of(run.config), {}});
      }
      systems[at].runs.push_back(std::move(run));
    }
  for (const System& system : systems) check_same(system);
  std::stable_partition(systems.begin(), systems.end(),
                        [](const System& s) { return !has_attention(s); });
  return systems;
}

std::vector<explain::Input> inputs_of(const train::Run& run,
                                      const std::vector<data::Example>& examples) {
  std::vector<explain::Input> inputs;
  for (const data::Example& example : examples) {
    explain::Input input;
    input.label = example.label;
    const auto words = train::read_words(run, example.text);
    const auto deciding = deciding_words(example, words);
    for (std::size_t t = 0; t < words.size(); ++t)
      input.words.push_back({words[t].text, words[t].id, words[t].unknown, deciding[t]});
    inputs.push_back(std::move(input));
  }
  return inputs;
}

explain::Options options_of(const train::Run& run) {
  explain::Options options;
  options.truncate = run.recipe.data.truncating == data::End::kPre ? explain::Truncate::kFront
                                                                   : explain::Truncate::kBack;
  return options;
}

std::vector<std::size_t> choose(const std::vector<explain::SentenceExplanation>& explanations,
                                std::size_t count) {
  std::vector<std::size_t> wrong, right, chosen;
  for (std::size_t i = 0; i < explanations.size(); ++i)
    (explanations[i].label >= 0 && explanations[i].label != explanations[i].predicted ? wrong
                                                                                      : right)
        .push_back(i);
  const std::size_t wrongs =
      std::min(wrong.size(), std::max(count / 2, count - std::min(count, right.size())));
  const auto take = [&](const std::vector<std::size_t>& from, std::size_t n) {
    for (std::size_t k = 0; k < n; ++k) chosen.push_back(from[k * from.size() / n]);
  };
  take(wrong, wrongs);
  take(right, std::min(right.size(), count - wrongs));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

viz::Sentence sentence_of(const explain::SentenceExplanation& e, std::int64_t id) {
  viz::Sentence s;
  s.id = id;
  for (std::size_t i = 0; i < e.words.size(); ++i)
    s.words.push_back(
        {e.words[i].text, static_cast<viz::WordState>(e.seen[i]), e.words[i].deciding});
  s.label = e.label;
  s.predicted = e.predicted;
  s.probability = e.probability;
  s.attention = e.attention;
  s.attention_low = e.attention_low;
  s.attention_high = e.attention_high;
  s.attention_on_padding = e.attention_on_padding;
  for (const explain::SelfAttention& map : e.self_attention)
    s.maps.push_back({map.layer, map.head, map.weights});
  s.padding = e.padding;
  s.seed_agreement = e.seed_agreement;
  s.leave_one_out = e.leave_one_out;
  s.what_if = e.what_if;
  s.what_if_label = e.what_if_label;
  s.gradient_x_input = e.gradient_x_input;
  s.attention_leave_one_out = converted(e.attention_leave_one_out);
  s.attention_gradient = converted(e.attention_gradient);
  s.leave_one_out_gradient = converted(e.leave_one_out_gradient);
  s.verdict = static_cast<viz::Verdict>(e.verdict);
  return s;
}

viz::SentimentReport report_of(const std::vector<System>& systems, const Rows& rows,
                               const std::vector<explain::SentenceExplanation>& explanations,
                               const std::vector<std::size_t>& chosen) {
  const System& system = systems.back();
  const train::Run& run = system.first();
  viz::SentimentReport report;
  report.run = run.recipe.name;
  report.model = system.name;
  report.model_detail = grouped(parameters_of(run)) + " weights";
  report.trained = std::to_string(run.history.size()) + " epochs";
  report.seed = run.recipe.train.seed;
  for (const train::Run& one : system.runs) report.seeds.push_back(one.recipe.train.seed);
  report.label_names = run.label_names;
  report.data = rows.data.empty() ? "sentences of the command line" : rows.data;
  report.data_detail = grouped(static_cast<long long>(rows.examples.size())) + " sentences" +
                       (rows.part.empty() ? "" : ", " + rows.part);
  report.test_size = static_cast<std::int64_t>(rows.examples.size());
  std::vector<data::Example> shown;
  for (const std::size_t place : chosen) {
    report.sentences.push_back(sentence_of(explanations[place], rows.ids[place]));
    shown.push_back(rows.examples[place]);
  }
  if (!rows.part.empty()) {
    add_figures(report, system, rows, explanations);
    if (systems.size() > 1 || system.runs.size() > 1) compare(report, systems, rows);
  }
  add_other_answers(report.sentences, systems, shown);
  return report;
}

}  // namespace attend::cli
