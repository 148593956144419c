// Captioners: the equations of "Show, Attend and Tell" in loops of double, gradients of the whole model, REINFORCE against
// enumeration, a caption alone and in a batch, decoding against teacher forcing, maps of a beam.
//
// Planted and seen to fail here: context without its gate; padding counted in the doubly stochastic penalty; the reward of a choice
// made of the words before it, without its own word, or with the sign turned; one noise for all words, or for all steps of a
// training; captions that take the mean rewarded; the baseline moved by .1 : .9, kept by position instead of by what is to come, or
// trained; memory begun as hidden state; readout from the state before; hard attention taking the mean when it decodes; the cell's
// or the key's bias left out; readout without the word before; a word too many let through; 3 × 3 where the map is halved; y for x.
#include "attend/models/captioner.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/decode/search.h"
#include "attend/models/image_encoder.h"
#include "attend/ops/machine.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/message_of.h"

namespace attend::models {
namespace {

constexpr std::int64_t kWords = 7, kPlaces = 3, kWidth = 4;

CaptionerConfig config_of(CaptionAttention attention) {
  CaptionerConfig c;
  c.vocabulary = kWords, c.max_length = 5, c.annotation_width = kWidth;
  c.embedding_width = 3, c.hidden = 5, c.attention_width = 6;
  c.attention = attention, c.doubly_stochastic = 0.7, c.dropout = 0.3;
  return c;
}

CaptionerConfig transformer_config() {
  CaptionerConfig c = config_of(CaptionAttention::kSoft);
  c.architecture = CaptionArchitecture::kTransformer;
  c.embedding_width = 4, c.heads = 2, c.layers = 3, c.feed_forward = 6;
  return c;
}

/// Initial biases are zero and weights small: makes all of it count.
void stir(const nn::NamedTensors& parameters) {
  for (const auto& [name, x] : parameters)
    if (x.requires_grad())
      at::Tensor(x).data().add_(
          test::random_tensor(x.sizes(), std::hash<std::string>{}(name) % 1000, 0.5));
}

std::unique_ptr<Captioner> model_of(const CaptionerConfig& config) {
  std::unique_ptr<Captioner> model = make_captioner(config, 3, at::kDouble);
  stir(model->parameters());
  return model;
}

at::Tensor annotations(std::int64_t batch = 2) {
  return test::random_tensor({batch, kPlaces, kWidth}, 11);
}

/// Two captions of different lengths.
at::Tensor captions() {
  return at::tensor({kBegin, std::int64_t{4}, std::int64_t{5}, std::int64_t{6}, kEnd, kBegin,
                     std::int64_t{6}, kEnd, kPadding, kPadding},
                    at::kLong)
      .view({2, 5});
}

Pass training(std::int64_t step = 0) {
  Pass pass;
  pass.training = true, pass.seed = 5, pass.step = step;
  return pass;
}

at::Tensor total(const CaptionLoss& loss) { return loss.words + loss.penalty; }

class EveryCaptioner : public ::testing::TestWithParam<CaptionerConfig> {
 protected:
  void SetUp() override { use_threads(1); }
};
std::string name_of(const ::testing::TestParamInfo<CaptionerConfig>& info) {
  if (info.param.architecture == CaptionArchitecture::kTransformer) return "transformer";
  const char* const names[] = {"soft", "hard", "uniform"};
  return names[static_cast<int>(info.param.attention)];
}
INSTANTIATE_TEST_SUITE_P(Captioner, EveryCaptioner,
                         ::testing::Values(config_of(CaptionAttention::kSoft),
                                           config_of(CaptionAttention::kHard),
                                           config_of(CaptionAttention::kUniform),
                                           transformer_config()),
                         name_of);

class ShowAttendTell : public ::testing::TestWithParam<CaptionAttention> {};
INSTANTIATE_TEST_SUITE_P(Captioner, ShowAttendTell,
                         ::testing::Values(CaptionAttention::kSoft, CaptionAttention::kHard,
                                           CaptionAttention::kUniform));

TEST_P(EveryCaptioner, GradientsOfTheWholeModel) {
  const bool chooses =
      GetParam().attention == CaptionAttention::kHard;  // samples have no slope: see Reinforce
  ImageEncoderConfig e;
  e.image_size = 8, e.stride = 4, e.layers = 3, e.width = kWidth;
  const ImageEncoder encoder(e, 1, at::kDouble);
  stir(encoder.parameters());
  const auto model = model_of(GetParam());
  const at::Tensor images =
      (test::random_tensor({2, 8, 8, 3}, 4) * 60 + 128).clamp(0, 255).to(at::kByte);
  nn::NamedTensors all = encoder.parameters();
  nn::append(all, "decoder.", model->parameters());
  test::expect_parameter_gradients(
      [&] {
        return total(
            model->loss(encoder.annotate(images), captions(), chooses ? Pass{} : training()));
      },
      all, {.may_be_unused = true});
}

TEST_P(EveryCaptioner, ACaptionAloneCostsWhatItCostsInABatch) {
  const auto model = model_of(GetParam());
  const at::Tensor a = annotations(), all = captions();
  const CaptionLoss both = model->loss(a, all, Pass{});
  const CaptionLoss first = model->loss(a.narrow(0, 0, 1), all.narrow(0, 0, 1), Pass{}),
                    second =
                        model->loss(a.narrow(0, 1, 1), all.narrow(0, 1, 1).narrow(1, 0, 3), Pass{});
  EXPECT_NEAR(both.words.item<double>(), (first.words + second.words).item<double>(), 1e-10);
  EXPECT_NEAR(both.penalty.item<double>(), (first.penalty + second.penalty).item<double>(), 1e-10);
  const at::Tensor maps = model->read(a, all).maps;
  EXPECT_LT(test::relative_error(
                maps.narrow(0, 1, 1).narrow(1, 0, 2),
                model->read(a.narrow(0, 1, 1), all.narrow(0, 1, 1).narrow(1, 0, 3)).maps),
            1e-10);
  EXPECT_EQ(maps[1].narrow(0, 2, 2).abs().sum().item<double>(), 0) << "maps of padding";
}

TEST_P(EveryCaptioner, DecodesWhatItWasTaught) {
  const auto model = model_of(GetParam());
  const at::Tensor a = annotations(), tokens = captions();
  const at::NoGradGuard off;
  const at::Tensor maps = model->read(a, tokens).maps;
  Decoding d = model->begin(a);
  double sum = 0;
  for (std::int64_t t = 0; t + 1 < tokens.size(1); ++t) {
    const DecodingStep step = model->step(d, tokens.narrow(1, t, 1));
    for (std::int64_t i = 0; i < 2; ++i) {
      const auto next = tokens[i][t + 1].item<std::int64_t>();
      if (next == kPadding) continue;
      sum -= step.log_probabilities[i][0][next].item<double>();
      EXPECT_LT(test::relative_error(step.weights[i][0], maps[i][t]), 1e-10) << i << ", " << t;
    }
  }
  EXPECT_NEAR(sum, model->loss(a, tokens, Pass{}).words.item<double>(), 1e-10 * sum);
}

TEST_P(EveryCaptioner, HypothesesOfABeamKeepTheirMaps) {
  const auto model = model_of(GetParam());
  const at::Tensor a = annotations();
  CaptionerSteps steps(*model, a);
  decode::SearchOptions options;
  options.max_length = 4;
  decode::BeamOptions beam;
  beam.beam = 3, beam.best = 3;
  const decode::Hypotheses found = decode::beam_search(steps, options, beam);
  ASSERT_EQ(found.size(), 2U);
  for (std::int64_t i = 0; i < 2; ++i)
    for (const decode::Hypothesis& h : found[static_cast<std::size_t>(i)]) {
      std::vector<std::int64_t> ids{kBegin};
      ids.insert(ids.end(), h.tokens.begin(), h.tokens.end());
      ids.push_back(kEnd);
      const at::Tensor tokens = at::tensor(ids, at::kLong).unsqueeze(0);
      const at::Tensor maps = model->read(a.narrow(0, i, 1), tokens).maps[0];
      ASSERT_GE(h.attention.size(), h.tokens.size());
      for (std::size_t t = 0; t < h.tokens.size(); ++t)
        for (std::int64_t j = 0; j < kPlaces; ++j)
          EXPECT_NEAR(h.attention[t][static_cast<std::size_t>(j)],
                      maps[static_cast<std::int64_t>(t)][j].item<double>(), 1e-6);
      if (h.ended) {
        EXPECT_NEAR(h.log_probability,
                    -model->loss(a.narrow(0, i, 1), tokens, Pass{}).words.item<double>(), 1e-6);
      }
    }
}

TEST_P(EveryCaptioner, DropoutAndSamplesOnlyWhileTraining) {
  const auto with = [&](bool is_training, std::int64_t step) {
    const auto model = model_of(GetParam());
    Pass pass = training(step);
    pass.training = is_training;
    return total(model->loss(annotations(), captions(), pass)).item<double>();
  };
  EXPECT_EQ(with(false, 1), with(false, 2));
  EXPECT_NE(with(true, 1), with(true, 2));
  EXPECT_EQ(with(true, 1), with(true, 1));
}

using Weights = std::map<std::string, at::Tensor>;

Weights weights_of(const Captioner& model) {
  Weights out;
  for (const auto& [name, x] : model.parameters()) out[name] = x;
  return out;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Rows of W x + b in loops; `bias` may be "".
std::vector<double> product(const Weights& p, const std::string& weight, const std::string& bias,
                            const std::vector<double>& x) {
  const at::Tensor& w = p.at(weight);
  std::vector<double> out;
  for (std::int64_t i = 0; i < w.size(0); ++i) {
    double sum = bias.empty() ? 0 : p.at(bias)[i].item<double>();
    for (std::int64_t j = 0; j < w.size(1); ++j)
      sum += w[i][j].item<double>() * x[static_cast<std::size_t>(j)];
    out.push_back(sum);
  }
  return out;
}

std::vector<double> row_of(const at::Tensor& x) {
  const at::Tensor y = x.contiguous();
  return {y.const_data_ptr<double>(), y.const_data_ptr<double>() + y.numel()};
}

/// Where the paper's decoder stands in this test's own loops.
struct PaperState {
  std::vector<double> h, c;
};

PaperState paper_start(const Weights& p, const at::Tensor& a) {
  const std::vector<double> mean = row_of(a.mean({0}));
  PaperState s{product(p, "initial.hidden.weight", "initial.hidden.bias", mean),
               product(p, "initial.memory.weight", "initial.memory.bias", mean)};
  for (double& x : s.h) x = std::tanh(x);
  for (double& x : s.c) x = std::tanh(x);
  return s;
}

std::vector<double> paper_map(const Weights& p, const at::Tensor& a, const PaperState& s) {
  const std::vector<double> query = product(p, "attention.query.weight", "", s.h);
  std::vector<double> out;
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(0); ++i) {
    const std::vector<double> key =
        product(p, "attention.key.weight", "attention.key.bias", row_of(a[i]));
    double e = 0;
    for (std::size_t k = 0; k < key.size(); ++k)
      e += p.at("attention.score.weight")[static_cast<std::int64_t>(k)].item<double>() *
           std::tanh(query[k] + key[k]);
    out.push_back(std::exp(e)), sum += std::exp(e);
  }
  for (double& x : out) x /= sum;
  return out;
}

double paper_gate(const Weights& p, const PaperState& s) {
  double f = p.at("gate.bias").item<double>();
  for (std::size_t i = 0; i < s.h.size(); ++i)
    f += p.at("gate.weight")[static_cast<std::int64_t>(i)].item<double>() * s.h[i];
  return sigmoid(f);
}

/// log p of every next word; moves the state.
std::vector<double> paper_word(const Weights& p, PaperState& s, std::int64_t token,
                               const std::vector<double>& context) {
  const double gate_of_context = paper_gate(p, s);
  std::vector<double> z = context;
  for (double& x : z) x *= gate_of_context;
  const std::vector<double> y = row_of(p.at("embedding.weight")[token]);
  const std::vector<double> of_token = product(p, "lstm.weight_ih", "lstm.bias", y),
                            of_context = product(p, "lstm.weight_ch", "", z),
                            of_state = product(p, "lstm.weight_hh", "", s.h);
  const std::size_t width = s.h.size();
  const auto gate = [&](std::size_t g, std::size_t i) {
    return of_token[g * width + i] + of_context[g * width + i] + of_state[g * width + i];
  };
  for (std::size_t i = 0; i < width; ++i) {
    s.c[i] = sigmoid(gate(1, i)) * s.c[i] + sigmoid(gate(0, i)) * std::tanh(gate(2, i));
    s.h[i] = sigmoid(gate(3, i)) * std::tanh(s.c[i]);
  }
  std::vector<double> readout = product(p, "readout.state.weight", "", s.h);
  const std::vector<double> more = product(p, "readout.context.weight", "", z);
  for (std::size_t i = 0; i < readout.size(); ++i)
    readout[i] = std::tanh(y[i] + readout[i] + more[i]);
  std::vector<double> logits = product(p, "output.weight", "output.bias", readout);
  double sum = 0;
  for (const double l : logits) sum += std::exp(l);
  for (double& l : logits) l -= std::log(sum);
  return logits;
}

std::vector<double> mean_under(const std::vector<double>& map, const at::Tensor& a) {
  std::vector<double> out(static_cast<std::size_t>(a.size(1)), 0);
  for (std::int64_t i = 0; i < a.size(0); ++i)
    for (std::int64_t d = 0; d < a.size(1); ++d)
      out[static_cast<std::size_t>(d)] += map[static_cast<std::size_t>(i)] * a[i][d].item<double>();
  return out;
}

TEST_P(ShowAttendTell, IsThePapers) {
  const auto model = model_of(config_of(GetParam()));
  const Weights p = weights_of(*model);
  const at::NoGradGuard off;
  const at::Tensor a = annotations(), tokens = captions();
  double nats = 0, missing = 0;
  for (std::int64_t i = 0; i < 2; ++i) {
    PaperState s = paper_start(p, a[i]);
    std::vector<double> looked(kPlaces, 0);
    for (std::int64_t t = 0; t + 1 < tokens.size(1); ++t) {
      const auto next = tokens[i][t + 1].item<std::int64_t>();
      if (next == kPadding) break;
      std::vector<double> map = GetParam() == CaptionAttention::kUniform
                                    ? std::vector<double>(kPlaces, 1.0 / kPlaces)
                                    : paper_map(p, a[i], s);
      for (std::int64_t j = 0; j < kPlaces; ++j) {
        const auto at = static_cast<std::size_t>(j);
        EXPECT_NEAR(model->read(a, tokens).maps[i][t][j].item<double>(), map[at], 1e-12);
        looked[at] += map[at];
      }
      EXPECT_NEAR(model->read(a, tokens).gates[i][t].item<double>(), paper_gate(p, s), 1e-12);
      if (GetParam() == CaptionAttention::kHard) {
        const auto top = std::max_element(map.begin(), map.end()) - map.begin();
        map.assign(kPlaces, 0), map[static_cast<std::size_t>(top)] = 1;
      }
      nats -= paper_word(p, s, tokens[i][t].item<std::int64_t>(),
                         mean_under(map, a[i]))[static_cast<std::size_t>(next)];
    }
    for (const double x : looked) missing += (1 - x) * (1 - x);
  }
  const CaptionLoss loss = model->loss(a, tokens, Pass{});
  EXPECT_NEAR(loss.words.item<double>(), nats, 1e-10);
  EXPECT_NEAR(model->read(a, tokens).log_probabilities.sum().item<double>(), -nats, 1e-10);
  const bool is_soft = GetParam() == CaptionAttention::kSoft;
  EXPECT_NEAR(loss.penalty.item<double>(), is_soft ? 0.7 * missing : 0, 1e-10);
}

// E over all choices of log p(caption | choices), exactly: two words, three places, so nine paths.
double expected_log_likelihood(const Captioner& model, const at::Tensor& a,
                               const std::vector<std::int64_t>& tokens) {
  const Weights p = weights_of(model);
  const std::function<double(PaperState, std::size_t)> rest = [&](PaperState s, std::size_t t) {
    if (t + 1 == tokens.size()) return 0.0;
    const std::vector<double> map = paper_map(p, a, s);
    double sum = 0;
    for (std::int64_t j = 0; j < kPlaces; ++j) {
      PaperState next = s;
      const double log_p =
          paper_word(p, next, tokens[t], row_of(a[j]))[static_cast<std::size_t>(tokens[t + 1])];
      sum += map[static_cast<std::size_t>(j)] * (log_p + rest(next, t + 1));
    }
    return sum;
  };
  return rest(paper_start(p, a), 0);
}

TEST(Reinforce, GradientIsUnbiased) {
  use_threads(1);
  CaptionerConfig config = config_of(CaptionAttention::kHard);
  config.expected_share = 0, config.entropy_weight = 0, config.dropout = 0;
  const auto model = model_of(config);
  const at::Tensor a = annotations(1)[0];
  const std::vector<std::int64_t> words{kBegin, 5, kEnd};
  constexpr std::int64_t kRows = 2000, kBatches = 25;
  const at::Tensor tokens =
      at::tensor(words, at::kLong).unsqueeze(0).expand({kRows, 3}).contiguous();
  const at::Tensor images = a.unsqueeze(0).expand({kRows, kPlaces, kWidth}).contiguous();
  std::vector<at::Tensor> leaves;
  for (const auto& [name, x] : model->parameters())
    if (x.requires_grad()) leaves.push_back(x);
  std::vector<at::Tensor> samples;  // one flat gradient for each batch
  for (std::int64_t b = 0; b < kBatches; ++b) {
    const auto g = torch::autograd::grad({total(model->loss(images, tokens, training(b)))}, leaves);
    std::vector<at::Tensor> flat;
    for (const at::Tensor& x : g) flat.push_back(x.reshape({-1}) / -static_cast<double>(kRows));
    samples.push_back(at::cat(flat));
  }
  const at::Tensor all = at::stack(samples), mean = all.mean(0),
                   error = all.std(0) / std::sqrt(static_cast<double>(kBatches));
  const at::NoGradGuard off;
  std::int64_t at = 0, beyond_three = 0, checked = 0;
  for (const at::Tensor& leaf : leaves) {
    double* x = leaf.mutable_data_ptr<double>();
    for (std::int64_t i = 0; i < leaf.numel(); ++i, ++at) {
      if (i % 3 != 0) continue;
      const double at_x = x[i], h = 1e-5;
      x[i] = at_x + h;
      const double up = expected_log_likelihood(*model, a, words);
      x[i] = at_x - h;
      const double down = expected_log_likelihood(*model, a, words);
      x[i] = at_x;
      const double exact = (up - down) / (2 * h),
                   off_by = std::abs(mean[at].item<double>() - exact);
      ASSERT_LT(off_by, 5.5 * error[at].item<double>() + 1e-7) << "element " << at << ": " << exact;
      beyond_three += off_by > 3 * error[at].item<double>() + 1e-7;
      ++checked;
    }
  }
  EXPECT_LT(beyond_three, checked / 20) << "of " << checked;
}

TEST(Reinforce, BaselineIsAMovingAverageOfWhatIsStillToCome) {
  CaptionerConfig config = config_of(CaptionAttention::kHard);
  config.dropout = 0;
  const auto model = model_of(config);
  const at::Tensor baseline = weights_of(*model).at("attention.baseline");
  ASSERT_EQ(baseline.size(0), config.max_length + 2);
  EXPECT_FALSE(baseline.requires_grad());
  model->loss(annotations(), captions(), Pass{});
  EXPECT_EQ(baseline.abs().sum().item<double>(), 0) << "moved outside training";
  model->loss(annotations(), captions(), training(1));
  const at::Tensor first = baseline.clone();
  for (const std::int64_t left : {1, 2, 3, 4}) EXPECT_LT(first[left].item<double>(), 0) << left;
  EXPECT_EQ(first[5].item<double>(), 0) << "no caption had five tokens to come";
  EXPECT_GT(first[1].item<double>(), first[4].item<double>()) << "more to come, less likely";
  const auto other = model_of(config);  // its first average is what this one adds a tenth of
  model->loss(annotations(), captions(), training(2));
  other->loss(annotations(), captions(), training(2));
  const at::Tensor fresh = weights_of(*other).at("attention.baseline");
  EXPECT_LT(test::relative_error(baseline, 0.9 * first + 0.1 * fresh), 1e-12);
}

TEST(Reinforce, EntropyAndMeanHaveTheirPart) {
  CaptionerConfig config = config_of(CaptionAttention::kHard);
  config.dropout = 0, config.reward_weight = 0, config.entropy_weight = 2,
  config.expected_share = 0;
  const auto sampled = model_of(config);
  const CaptionLoss loss = sampled->loss(annotations(), captions(), training());
  const double penalty = loss.penalty.item<double>();
  EXPECT_LT(penalty, 0);
  EXPECT_GT(penalty, -2 * 6 * std::log(3.0)) << "six tokens, three places";
  config.expected_share = 0.99;  // nearly all take the mean: as soft attention
  const at::Tensor images = annotations(1).expand({50, kPlaces, kWidth}).contiguous(),
                   tokens = captions().narrow(0, 0, 1).expand({50, 5}).contiguous();
  CaptionerConfig soft = config;
  soft.attention = CaptionAttention::kSoft;
  const double mean = model_of(soft)->loss(images, tokens, training()).words.item<double>();
  EXPECT_NEAR(model_of(config)->loss(images, tokens, training()).words.item<double>(), mean,
              0.03 * mean);
}

TEST(Reinforce, ACaptionThatTakesTheMeanHasNoChoiceToReward) {
  const auto penalty = [](double expected_share) {
    CaptionerConfig config = config_of(CaptionAttention::kHard);
    config.dropout = 0, config.entropy_weight = 0, config.expected_share = expected_share;
    const auto model = model_of(config);
    const at::Tensor a = annotations(), tokens = captions().narrow(0, 0, 1);
    model->loss(a.narrow(0, 0, 1), tokens, training(1));  // finds the baseline
    return model->loss(a.narrow(0, 1, 1), tokens, training(2)).penalty.item<double>();
  };
  EXPECT_EQ(penalty(0.99), 0);
  EXPECT_NE(penalty(0), 0);
}

TEST(ImageEncoder, FieldsAreCentredOnTheirPlaces) {
  ImageEncoderConfig c;
  c.image_size = 16, c.stride = 4, c.layers = 3, c.width = 6;
  const ImageEncoder encoder(c, 1, at::kDouble);
  const at::NoGradGuard off;
  for (const auto& [name, x] : encoder.parameters())  // no unit is ever off, so every path counts
    x.abs_().add_(name.ends_with("bias") ? 100 : 0);
  const at::Tensor grey = at::full({1, 16, 16, 3}, 100, at::kByte);
  const at::Tensor before = encoder.annotate(grey);
  ASSERT_EQ(before.sizes(), (std::vector<std::int64_t>{1, 16, 6}));
  const auto touched = [&](std::int64_t x, std::int64_t y) {  // [4,4] bool
    at::Tensor image = grey.clone();
    image[0][y][x].fill_(250);
    return ((encoder.annotate(image) - before).abs().sum({2}) > 0).view({4, 4});
  };
  bool any = false;
  for (std::int64_t x = 0; x < 8; ++x) {
    EXPECT_TRUE(at::equal(touched(x, 5), touched(15 - x, 5).flip({1}))) << x;
    EXPECT_TRUE(at::equal(touched(5, x), touched(5, 15 - x).flip({0}))) << x;
    any = any || !touched(x, 5).all().item<bool>();
  }
  EXPECT_TRUE(any) << "a field that sees the whole image shows nothing";
}

TEST(ImageEncoder, KnowsWhereAPlaceIs) {
  ImageEncoderConfig c;
  c.image_size = 32, c.stride = 4, c.layers = 2, c.width = 8;
  const ImageEncoder encoder(c, 1, at::kDouble);
  const at::NoGradGuard off;
  const at::Tensor a = encoder.annotate(at::full({1, 32, 32, 3}, 90, at::kByte))[0].view({8, 8, 8});
  EXPECT_GT((a[3][3] - a[3][4]).abs().max().item<double>(), 1e-3) << "x";
  EXPECT_GT((a[3][3] - a[4][3]).abs().max().item<double>(), 1e-3) << "y";
}

TEST(Captioner, RefusesWhatMakesNoSense) {
  const auto refusal = [](const std::function<void(CaptionerConfig&)>& change) {
    CaptionerConfig c = config_of(CaptionAttention::kSoft);
    change(c);
    return test::message_of([&] { make_captioner(c, 1); });
  };
  EXPECT_THAT(refusal([](auto& c) { c.hidden = 0; }), ::testing::HasSubstr("model.hidden is 0"));
  EXPECT_THAT(refusal([](auto& c) { c.vocabulary = 3; }),
              ::testing::HasSubstr("model.vocabulary is 3"));
  EXPECT_THAT(refusal([](auto& c) { c.dropout = 1; }), ::testing::HasSubstr("model.dropout"));
  EXPECT_THAT(refusal([](auto& c) { c.doubly_stochastic = NAN; }),
              ::testing::HasSubstr("train.doubly_stochastic"));
  EXPECT_THAT(refusal([](auto& c) { c.expected_share = 1; }),
              ::testing::HasSubstr("train.expected_share"));
  const auto of_transformer = [](auto& c) { c.architecture = CaptionArchitecture::kTransformer; };
  EXPECT_THAT(refusal([&](auto& c) { of_transformer(c), c.heads = 2; }),
              ::testing::HasSubstr("model.heads is 2: it must divide model.embedding_width = 3"));
  EXPECT_THAT(
      refusal([&](auto& c) { of_transformer(c), c.attention = CaptionAttention::kUniform; }),
      ::testing::HasSubstr("model.attention.kind: a transformer attends softly"));
  const auto model = model_of(config_of(CaptionAttention::kSoft));
  const auto given = [&](const at::Tensor& a, const at::Tensor& tokens) {
    return test::message_of([&] { model->loss(a, tokens, Pass{}); });
  };
  EXPECT_THAT(given(annotations().narrow(2, 0, 3), captions()),
              ::testing::HasSubstr("annotations are [B,L,4]"));
  EXPECT_THAT(given(annotations(3), captions()), ::testing::HasSubstr("a caption for each image"));
  EXPECT_THAT(given(annotations(1), at::full({1, 8}, 4, at::kLong)),
              ::testing::HasSubstr("6 tokens, more than model.max_length = 5"));
  const auto refused = [](std::int64_t size, std::int64_t stride, std::int64_t layers) {
    ImageEncoderConfig c;
    c.image_size = size, c.stride = stride, c.layers = layers;
    return test::message_of([&] { ImageEncoder(c, 1); });
  };
  EXPECT_THAT(refused(50, 4, 4), ::testing::HasSubstr("data.image_size is 50"));
  EXPECT_THAT(refused(48, 3, 4), ::testing::HasSubstr("model.stride is 3"));
  EXPECT_THAT(refused(48, 8, 2), ::testing::HasSubstr("model.layers is 2"));
  ImageEncoderConfig c;
  EXPECT_THAT(test::message_of([&] {
                ImageEncoder(c, 1).annotate(at::zeros({1, 48, 47, 3}, at::kByte));
              }),
              ::testing::HasSubstr("images are uint8 [B,48,48,3]"));
}

}  // namespace
}  // namespace attend::models
