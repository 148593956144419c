#include "attend/explain/sentiment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "attend/base/error.h"
#include "explain/measures.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

void check_models(const std::vector<models::Classifier*>& models) {
  if (models.empty()) fail_usage("attend::explain: no model given; give at least one");
  for (const auto* m : models)
    if (m == nullptr) fail_usage("attend::explain: a model is NULL");
}

void check_words(const models::Classifier& model, const std::vector<Input>& inputs) {
  const std::int64_t most = model.config().vocabulary;
  for (const auto& input : inputs)
    for (const auto& w : input.words)
      if (w.id < 0 || w.id > most)
        fail_input("attend::explain: word '" + w.text + "' has id " + std::to_string(w.id) +
                   ", outside 0…" + std::to_string(most) +
                   "; encode it with the vocabulary the model was trained with");
}

std::vector<Row> whole_rows(const models::Classifier& model, const std::vector<Input>& inputs,
                            const Options& options) {
  std::vector<Row> rows;
  rows.reserve(inputs.size());
  for (const auto& input : inputs)
    rows.push_back(encode(input.words, input.words.size(), model.config(), options.truncate));
  return rows;
}

Answer answer_of(const RowOutput& out) {
  const auto best = std::max_element(out.probabilities.begin(), out.probabilities.end());
  return {best - out.probabilities.begin(), *best};
}

SentenceExplanation begun(const Input& input, const Row& row, const RowOutput& out,
                          const models::ClassifierConfig& config) {
  SentenceExplanation e;
  e.words = input.words;
  e.label = input.label;
  e.probabilities = out.probabilities;
  const Answer answer = answer_of(out);
  e.predicted = answer.predicted;
  e.probability = answer.probability;
  e.seen.assign(input.words.size(), Seen::kCut);
  for (std::size_t i = 0; i < input.words.size(); ++i)
    if (input.words[i].id == 0) e.seen[i] = Seen::kDropped;
  for (const std::size_t i : row.places)
    e.seen[i] = input.words[i].unknown ? Seen::kUnknown : Seen::kSeen;
  e.padding =
      config.mask_padding ? 0 : config.max_length - static_cast<std::int64_t>(row.ids.size());
  e.seed_agreement = kNone;
  return e;
}

std::vector<double> spread(const std::vector<double>& values, const Row& row, std::size_t words) {
  std::vector<double> out(words, kNone);
  for (std::size_t t = 0; t < row.places.size(); ++t) out[row.places[t]] = values[t];
  return out;
}

void add_attention(SentenceExplanation& e, const Row& row, const RowOutput& out) {
  if (!out.attends) return;
  e.attention = spread(out.weights, row, e.words.size());
  e.attention_on_padding = out.on_padding;
  e.entropy = entropy_bits(e.attention);
}

void add_looks(SentenceExplanation& e, const Row& row, const RowOutput& out) {
  const std::vector<double> nothing(e.words.size(), kNone);
  for (const SelfAttention& seen : out.self_attention) {
    SelfAttention map{seen.layer, seen.head, {e.words.size(), nothing}};
    for (std::size_t t = 0; t < row.places.size(); ++t)
      map.weights[row.places[t]] = spread(seen.weights[t], row, e.words.size());
    e.self_attention.push_back(std::move(map));
  }
}

// Deleting every seen word of every input, as rows; owner[r] is the input, and the word deleted.
struct Variants {
  std::vector<Row> rows;
  std::vector<std::pair<std::size_t, std::size_t>> owners;
};

Variants variants_of(const std::vector<Input>& inputs, const std::vector<Row>& whole,
                     const models::ClassifierConfig& config, Truncate truncate) {
  Variants v;
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    for (const std::size_t i : whole[n].places) {
      v.rows.push_back(encode(inputs[n].words, i, config, truncate));
      v.owners.emplace_back(n, i);
    }
  }
  return v;
}

void add_leave_one_out(std::vector<SentenceExplanation>& all, models::Classifier& model,
                       const std::vector<Input>& inputs, const std::vector<Row>& whole,
                       const Options& options) {
  for (auto& e : all) {
    e.what_if.assign(e.words.size(), kNone);
    e.leave_one_out.assign(e.words.size(), kNone);
    e.what_if_label.assign(e.words.size(), -1);
  }
  const Variants variants = variants_of(inputs, whole, model.config(), options.truncate);
  const auto outputs = forward_rows(model, variants.rows, options);
  for (std::size_t r = 0; r < outputs.size(); ++r) {
    const auto [n, i] = variants.owners[r];
    auto& e = all[n];
    e.what_if[i] = outputs[r].probabilities[static_cast<std::size_t>(e.predicted)];
    e.leave_one_out[i] = e.probability - e.what_if[i];
    e.what_if_label[i] = answer_of(outputs[r]).predicted;
  }
}

void add_gradients(std::vector<SentenceExplanation>& all, models::Classifier& model,
                   const std::vector<Row>& whole, const Options& options) {
  std::vector<std::int64_t> predicted;
  predicted.reserve(all.size());
  for (const auto& e : all) predicted.push_back(e.predicted);
  const auto products = gradient_rows(model, whole, predicted, options);
  for (std::size_t n = 0; n < all.size(); ++n)
    all[n].gradient_x_input = spread(products[n], whole[n], all[n].words.size());
}

std::vector<double> seen_only(const std::vector<double>& v) {
  std::vector<double> out;
  std::copy_if(v.begin(), v.end(), std::back_inserter(out),
               [](double x) { return !std::isnan(x); });
  return out;
}

// Range and agreement over the models that have attention; lists[n] holds sentence n's attention by
// model.
void add_seeds(std::vector<SentenceExplanation>& all,
               const std::vector<models::Classifier*>& models, const std::vector<Input>& inputs,
               const Options& options) {
  std::vector<std::vector<std::vector<double>>> lists(all.size());
  for (std::size_t n = 0; n < all.size(); ++n)
    if (!all[n].attention.empty()) lists[n].push_back(all[n].attention);
  for (std::size_t m = 1; m < models.size(); ++m) {
    if (!models::attends(models[m]->config())) continue;
    check_words(*models[m], inputs);
    const auto rows = whole_rows(*models[m], inputs, options);
    auto outputs = forward_rows(*models[m], rows, options);
    add_row_self_attention(outputs, *models[m], rows, options);
    for (std::size_t n = 0; n < all.size(); ++n)
      if (outputs[n].attends)
        lists[n].push_back(spread(outputs[n].weights, rows[n], all[n].words.size()));
  }
  for (std::size_t n = 0; n < all.size(); ++n) {
    if (all[n].attention.empty() || lists[n].size() < 2) continue;
    auto& e = all[n];
    e.attention_low = e.attention_high = e.attention;
    std::vector<std::vector<double>> seen;
    for (const auto& list : lists[n]) {
      seen.push_back(seen_only(list));
      for (std::size_t i = 0; i < list.size(); ++i) {
        e.attention_low[i] =
            std::fmin(e.attention_low[i], list[i]);  // fmin and fmax pass over a NaN
        e.attention_high[i] = std::fmax(e.attention_high[i], list[i]);
      }
    }
    const bool same_words = std::all_of(seen.begin(), seen.end(),
                                        [&](const auto& s) { return s.size() == seen[0].size(); });
    if (same_words) e.seed_agreement = mean_pairwise_tau(seen);
  }
}

void judge(SentenceExplanation& e, std::size_t n, const Options& options) {
  const auto agree = [&](const std::vector<double>& a, const std::vector<double>& b,
                         std::uint64_t pair) {
    if (a.empty() || b.empty()) return Agreement{kNone, kNone, kNone, kNone};
    return rank_agreement(a, b, {options.shuffles, options.seed, 3 * n + pair});
  };
  e.attention_leave_one_out = agree(e.attention, e.leave_one_out, 0);
  e.attention_gradient = agree(e.attention, e.gradient_x_input, 1);
  e.leave_one_out_gradient = agree(e.leave_one_out, e.gradient_x_input, 2);
  e.verdict = verdict(e.attention, e.attention_leave_one_out);
}

Interval share_right(const std::vector<RowOutput>& outputs, const std::vector<Input>& inputs) {
  std::int64_t right = 0, total = 0;
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    if (inputs[n].label < 0) continue;
    ++total;
    right += answer_of(outputs[n]).predicted == inputs[n].label;
  }
  return wilson(right, total);
}

}  // namespace

std::vector<SentenceExplanation> explain_sentences(const std::vector<models::Classifier*>& models,
                                                   const std::vector<Input>& inputs,
                                                   const Options& options) {
  check_models(models);
  models::Classifier& model = *models.front();
  check_words(model, inputs);
  const auto whole = whole_rows(model, inputs, options);
  auto outputs = forward_rows(model, whole, options);
  if (options.self_attention || models::attends(model.config()))
    add_row_self_attention(outputs, model, whole, options);
  std::vector<SentenceExplanation> all;
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    all.push_back(begun(inputs[n], whole[n], outputs[n], model.config()));
    all[n].pools = model.config().attention != models::Attention::kNone;
    add_attention(all[n], whole[n], outputs[n]);
    if (options.self_attention) add_looks(all[n], whole[n], outputs[n]);
  }
  add_leave_one_out(all, model, inputs, whole, options);
  if (options.gradients) add_gradients(all, model, whole, options);
  add_seeds(all, models, inputs, options);
  for (std::size_t n = 0; n < all.size(); ++n) judge(all[n], n, options);
  return all;
}

SentenceExplanation explain_sentence(models::Classifier& model, const Input& input,
                                     const Options& options) {
  return explain_sentences({&model}, {input}, options).front();
}

void add_self_attention(SentenceExplanation& explanation, models::Classifier& model,
                        const Input& input, const Options& options) {
  check_words(model, {input});
  const auto row = whole_rows(model, {input}, options);
  std::vector<RowOutput> output(1);
  add_row_self_attention(output, model, row, options);
  add_looks(explanation, row.front(), output.front());
}

std::vector<Answer> answers(models::Classifier& model, const std::vector<Input>& inputs,
                            const Options& options) {
  check_words(model, inputs);
  std::vector<Answer> all;
  for (const auto& out : forward_rows(model, whole_rows(model, inputs, options), options))
    all.push_back(answer_of(out));
  return all;
}

Interval accuracy(models::Classifier& model, const std::vector<Input>& inputs,
                  const Options& options) {
  check_words(model, inputs);
  return share_right(forward_rows(model, whole_rows(model, inputs, options), options), inputs);
}

Interval accuracy_with_uniform_attention(models::Classifier& model,
                                         const std::vector<Input>& inputs, const Options& options) {
  if (model.config().attention == models::Attention::kNone) return {kNone, kNone, kNone};
  check_words(model, inputs);
  return share_right(forward_rows(model, whole_rows(model, inputs, options), options, true),
                     inputs);
}

}  // namespace attend::explain
