// A training step of the translators, loss and every gradient, beside the same model written in eager libtorch
// (eager_translators.cpp). Both must give the same loss before anything is timed; timed is with dropout.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/base/error.h"
#include "attend/nn/position.h"
#include "cases.h"
#include "eager_translators.h"
#include "harness.h"

namespace attend::bench {
namespace {

models::TranslatorConfig translator_config(const TranslatorCase& c) {
  models::TranslatorConfig out;
  out.source_vocabulary = out.target_vocabulary = c.words;
  out.embedding_width = c.embedding, out.hidden = c.hidden, out.attention_width = c.hidden;
  out.layers = c.layers, out.dropout = 0.1;
  switch (c.model) {
    case TranslatorCase::Model::kTransformer:
      out.architecture = models::Architecture::kTransformer;
      out.heads = c.embedding / 32 > 8 ? 8 : c.embedding / 32, out.feed_forward = c.hidden;
      break;
    case TranslatorCase::Model::kRnnsearch:
      break;
    case TranslatorCase::Model::kLuongLocal:
      out.architecture = models::Architecture::kLuong, out.score = nn::Score::kGeneral;
      out.span = nn::Span::kLocalP, out.reverse_source = true;
  }
  return out;
}

struct TranslatorStep {
  explicit TranslatorStep(const TranslatorCase& c_)
      : c(c_), config(translator_config(c)), model(models::make_translator(config, 1)) {
    batch.source = at::randint(4, c.words, {c.batch, c.length}, at::kLong);
    batch.source_lengths = at::full({c.batch}, c.length, at::kLong);
    batch.target = at::randint(4, c.words, {c.batch, c.length + 1}, at::kLong);
    batch.target_lengths = at::full({c.batch}, c.length + 1, at::kLong);
    positions = nn::sinusoidal_positions(c.length, c.embedding);
    for (const auto& [name, x] : model->parameters()) leaves.push_back(p[name] = x);
  }

  at::Tensor ours(bool training) {
    models::Pass pass;
    pass.training = training, pass.step = ++step;
    return model->loss(batch, pass, 0.1).words;
  }
  at::Tensor theirs(bool training) const {
    const Eager eager{config, p, positions, training};
    switch (c.model) {
      case TranslatorCase::Model::kTransformer:
        return eager.transformer(batch);
      case TranslatorCase::Model::kRnnsearch:
        return eager.rnnsearch(batch);
      default:
        return eager.luong_local(batch);
    }
  }
  void check() {
    const double a = ours(false).item<double>(), b = theirs(false).item<double>();
    if (!(std::abs(a - b) <= 1e-4 * std::abs(b)))
      throw Error(ErrorKind::kFailure, "translator: the losses differ: " + std::to_string(a) +
                                           " and " + std::to_string(b));
  }
  void gradients(const at::Tensor& loss) const { torch::autograd::grad({loss}, leaves); }

  TranslatorCase c;
  models::TranslatorConfig config;
  std::unique_ptr<models::Translator> model;
  models::TranslationBatch batch;
  std::map<std::string, at::Tensor> p;
  std::vector<at::Tensor> leaves;
  at::Tensor positions;
  std::int64_t step = 0;
};

const char* translator_name(TranslatorCase::Model model) {
  switch (model) {
    case TranslatorCase::Model::kTransformer:
      return "train_transformer";
    case TranslatorCase::Model::kRnnsearch:
      return "train_rnnsearch";
    default:
      return "train_luong_local_p";
  }
}

/// Multiplications of the products for one source and one target token, V the vocabulary, embeddings not counted.
double multiplications(const TranslatorCase& c) {
  const auto e = static_cast<double>(c.embedding), h = static_cast<double>(c.hidden),
             n = static_cast<double>(c.layers), l = static_cast<double>(c.length),
             v = static_cast<double>(c.words);
  switch (c.model) {
    case TranslatorCase::Model::kTransformer: {
      const double encoder = 4 * e * e + 2 * e * h + 2 * l * e,
                   decoder = 8 * e * e + 2 * e * h + 3 * l * e;  // of itself it sees half
      return n * (encoder + decoder) + e * v;
    }
    case TranslatorCase::Model::kRnnsearch: {
      const double encoder = 2 * 3 * h * (e + h) + h * 2 * h,
                   decoder = h * h + 3 * h * (e + 3 * h) + l * 2 * h + 2 * e * (e + 3 * h);
      return encoder + decoder + e * v;
    }
    default: {
      const double above = (n - 1) * 8 * h * h;
      const double encoder = 4 * h * (e + h) + above,
                   decoder = 4 * h * (e + 2 * h) + above + 4 * h * h + 2 * l * h;
      return encoder + decoder + h * v;
    }
  }
}

Case translator_case(const TranslatorCase& c) {
  Case row;
  row.op = translator_name(c.model);
  row.direction = Direction::kForwardBackward;
  row.shape = {{"B", c.batch},  {"L", c.length}, {"E", c.embedding},
               {"H", c.hidden}, {"N", c.layers}, {"V", c.words}};
  row.peer = "libtorch";
  row.flops = 6 * multiplications(c) * static_cast<double>(c.batch * c.length);
  row.prepare = [=] {
    const auto s = std::make_shared<TranslatorStep>(c);
    s->check();
    return Runs{[s] { s->gradients(s->ours(true)); }, [s] { s->gradients(s->theirs(true)); }};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const TranslatorCase& c : kTranslatorCases) rows.push_back(translator_case(c));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
