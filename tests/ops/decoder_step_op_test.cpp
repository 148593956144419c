// attend::decoder_step against its definition and against libtorch's cells.
#include "attend/ops/decoder_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gru_cell.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;

struct StepCase {
  std::int64_t batch, hidden, keys, width, value_width;
};
constexpr StepCase kStepCases[] = {{1, 1, 1, 1, 1},
                                   {3, 5, 4, 3, 6},
                                   {5, 17, 31, 33, 18},
                                   {65, 40, 7, 24, 33},
                                   {120, 33, 9, 16, 31}};
constexpr DecoderCell kStepAllCells[] = {DecoderCell::kGru, DecoderCell::kGruResetBefore,
                                         DecoderCell::kLstm};

/// gates, state, key, value, W_a, v, C, U, bias, memory.
std::vector<at::Tensor> step_inputs(const StepCase& c, DecoderCell cell,
                                    at::ScalarType dtype = at::kDouble) {
  const std::int64_t gh = (cell == DecoderCell::kLstm ? 4 : 3) * c.hidden;
  const std::vector<std::vector<std::int64_t>> shapes = {{c.batch, gh},
                                                         {c.batch, c.hidden},
                                                         {c.batch, c.keys, c.width},
                                                         {c.batch, c.keys, c.value_width},
                                                         {c.width, c.hidden},
                                                         {c.width},
                                                         {gh, c.value_width},
                                                         {gh, c.hidden},
                                                         {gh},
                                                         {c.batch, c.hidden}};
  std::vector<at::Tensor> in;
  for (const auto& s : shapes) in.push_back(random_tensor(s, in.size() + 1, 0.7, dtype));
  return in;
}

enum class StepWay { kDefinition, kPlain, kPrepared };

std::vector<at::Tensor> step(const std::vector<at::Tensor>& t, DecoderCell cell, StepWay way,
                             DecoderStepOptions o = {}) {
  o.cell = cell, o.need_weights = true;
  if (cell == DecoderCell::kLstm) o.memory = t[9];
  DecoderStepWeights w{t[4], t[5], t[6], t[7], t[8], {}};
  AdditiveKeys keys{t[2], {}};
  if (way == StepWay::kPrepared)
    w = prepare_decoder_step(w, cell), keys = prepare_additive_keys(t[2]);
  const auto r = way == StepWay::kDefinition ? compose::decoder_step(t[0], t[1], keys, t[3], w, o)
                                             : decoder_step(t[0], t[1], keys, t[3], w, o);
  std::vector<at::Tensor> out = {r.state, r.context, r.weights};
  if (r.memory.defined()) out.push_back(r.memory);
  return out;
}

std::vector<at::Tensor> in_double(const std::vector<at::Tensor>& t) {
  std::vector<at::Tensor> out;
  for (const auto& x : t) out.push_back(x.to(at::kDouble));
  return out;
}

TEST(DecoderStep, IsItsDefinition) {
  for (const DecoderCell cell : kStepAllCells)
    for (const StepCase& c : kStepCases) {
      const auto in = step_inputs(c, cell, at::kFloat);
      const auto truth = step(in_double(in), cell, StepWay::kDefinition),
                 theirs = step(in, cell, StepWay::kDefinition);
      const auto plain = step(in, cell, StepWay::kPlain),
                 prepared = step(in, cell, StepWay::kPrepared);
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      ASSERT_EQ(plain.size(), truth.size());
      for (std::size_t i = 0; i < truth.size(); ++i) {
        EXPECT_TRUE(as_good_as(plain[i], theirs[i], truth[i]))
            << "cell " << static_cast<int>(cell) << " B " << c.batch << " output " << i;
        EXPECT_TRUE(same_bits(plain[i], prepared[i])) << i;
      }
    }
}

TEST(DecoderStep, AgreesWithLibtorchsCells) {
  const StepCase c{6, 9, 5, 7, 8};
  for (const DecoderCell cell : {DecoderCell::kGru, DecoderCell::kLstm}) {
    const auto t = step_inputs(c, cell);
    const std::int64_t gh = t[0].size(1), inputs = 4;
    const at::Tensor token = random_tensor({c.batch, inputs}, 21),
                     from_token = random_tensor({gh, inputs}, 22), bias = random_tensor({gh}, 23);
    const at::Tensor e = at::matmul(at::tanh(at::matmul(t[1], t[4].t()).unsqueeze(1) + t[2]), t[5]);
    const at::Tensor context = (at::softmax(e, 1).unsqueeze(2) * t[3]).sum(1),
                     x = at::cat({token, context}, 1);
    const at::Tensor w = at::cat({from_token, t[6]}, 1);
    auto given = t;
    given[0] = at::matmul(token, from_token.t()) + bias;
    const auto ours = step(given, cell, StepWay::kPrepared);
    if (cell == DecoderCell::kGru) {
      EXPECT_LT(test::relative_error(ours[0], at::gru_cell(x, t[1], w, t[7], bias, t[8])), 1e-14);
    } else {
      const auto [h, m] = at::lstm_cell(x, {t[1], t[9]}, w, t[7], bias, t[8]);
      EXPECT_LT(test::relative_error(ours[0], h), 1e-14);
      EXPECT_LT(test::relative_error(ours[3], m), 1e-14);
    }
  }
}

TEST(DecoderStep, GradientsAreTheDifferences) {
  const char* const names[] = {"gates", "state", "key", "value", "W_a",
                               "v",     "C",     "U",   "bias",  "memory"};
  DecoderStepOptions o;
  o.key_lengths = at::tensor({3, 0, 4}, at::kLong);
  for (const DecoderCell cell : kStepAllCells)
    for (const bool hidden : {false, true}) {
      const auto in = step_inputs({3, 5, 4, 3, 6}, cell);
      std::vector<test::Named> named;
      for (std::size_t i = 0; i < in.size(); ++i) named.push_back({names[i], in[i]});
      for (const StepWay way : {StepWay::kPlain, StepWay::kDefinition})
        test::expect_gradients(
            [&](const auto& t) { return step(t, cell, way, hidden ? o : DecoderStepOptions{}); },
            named);
    }
}

TEST(DecoderStep, GradientsAreAsGoodAsTheDefinitions) {
  for (const DecoderCell cell : kStepAllCells) {
    const auto gradients = [&](std::vector<at::Tensor> t, StepWay way) {
      for (auto& x : t) x = x.detach().clone().set_requires_grad(true);
      if (cell != DecoderCell::kLstm) t.pop_back();
      auto used = t;
      used.resize(10);
      at::Tensor loss;
      std::uint64_t seed = 40;
      for (const auto& out : step(used, cell, way)) {
        const at::Tensor term =
            (out * random_tensor(out.sizes(), ++seed, 1, out.scalar_type())).sum();
        loss = loss.defined() ? loss + term : term;
      }
      return torch::autograd::grad({loss}, t);
    };
    const auto in = step_inputs({65, 40, 7, 24, 33}, cell, at::kFloat);
    const auto truth = gradients(in_double(in), StepWay::kDefinition),
               theirs = gradients(in, StepWay::kDefinition);
    const auto ours = gradients(in, StepWay::kPrepared);
    for (std::size_t i = 0; i < truth.size(); ++i)
      EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i]))
          << static_cast<int>(cell) << " input " << i;
  }
}

TEST(DecoderStep, HiddenKeysAreNotTouchedAndRowsThatSeeNothingGiveZero) {
  DecoderStepOptions o;
  o.key_lengths = at::tensor({2, 0, 4}, at::kLong);
  for (const DecoderCell cell : kStepAllCells) {
    auto in = step_inputs({3, 5, 4, 3, 6}, cell);
    const auto clean = step(in, cell, StepWay::kPrepared, o);
    EXPECT_EQ(clean[1][1].abs().sum().item<double>(), 0);
    EXPECT_EQ(clean[2][1].abs().sum().item<double>(), 0);
    for (const int i : {2, 3}) {
      in[i] = in[i].clone();
      in[i][0].slice(0, 2).fill_(std::numeric_limits<double>::quiet_NaN());
      in[i][1].fill_(std::numeric_limits<double>::quiet_NaN());
    }
    for (auto& t : in) t.set_requires_grad(true);
    const auto spoiled = step(in, cell, StepWay::kPrepared, o);
    for (std::size_t i = 0; i < clean.size(); ++i)
      EXPECT_TRUE(same_bits(spoiled[i], clean[i])) << i;
    const auto g = torch::autograd::grad({spoiled[0].sum()}, {in[1], in[2], in[3], in[4]});
    for (const auto& t : g) EXPECT_FALSE(at::isnan(t).any().item<bool>());
    EXPECT_EQ(g[1][1].abs().sum().item<double>(), 0);
    EXPECT_EQ(g[2][0].slice(0, 2).abs().sum().item<double>(), 0);
  }
}

TEST(DecoderStep, SameBitsOnAnyThreadsAndFromASlice) {
  for (const DecoderCell cell : kStepAllCells) {
    auto in = step_inputs({65, 140, 7, 24, 33}, cell, at::kFloat);
    std::vector<at::Tensor> one;
    {
      const test::WithThreads alone(1);
      one = step(in, cell, StepWay::kPrepared);
    }
    const at::Tensor all = at::cat({in[0].unsqueeze(1), in[0].unsqueeze(1) * 2}, 1);
    in[0] = all.select(1, 0);
    for (const int n : {2, 3}) {
      const test::WithThreads several(n);
      const auto more = step(in, cell, StepWay::kPrepared);
      for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(same_bits(more[i], one[i])) << n << " threads";
    }
  }
}

TEST(DecoderStep, SecondDerivativeAndOtherDtypesGoThroughTheDefinition) {
  auto in = step_inputs({3, 5, 4, 3, 6}, DecoderCell::kGru);
  in[1].set_requires_grad(true);
  const auto g = torch::autograd::grad({step(in, DecoderCell::kGru, StepWay::kPlain)[0].sum()},
                                       {in[1]}, {}, true, true);
  const auto d = torch::autograd::grad({step(in, DecoderCell::kGru, StepWay::kDefinition)[0].sum()},
                                       {in[1]}, {}, true, true);
  const auto gg = torch::autograd::grad({g[0].pow(2).sum()}, {in[1]}),
             dd = torch::autograd::grad({d[0].pow(2).sum()}, {in[1]});
  EXPECT_LT(test::relative_error(gg[0], dd[0]), 1e-12);
  step(step_inputs({3, 5, 4, 3, 6}, DecoderCell::kLstm, at::kBFloat16), DecoderCell::kLstm,
       StepWay::kPrepared);
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
}

std::string step_refusal(const std::vector<at::Tensor>& t, DecoderCell cell,
                         DecoderStepOptions o = {}) {
  o.cell = cell;
  try {
    decoder_step(t[0], t[1], {t[2], {}}, t[3],
                 {t[4], t[5], t[6], t[7], t[8], o.key_lengths.defined() ? t[5] : at::Tensor()}, o);
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(DecoderStep, RefusesWhatDoesNotFit) {
  const auto good = step_inputs({3, 5, 4, 3, 6}, DecoderCell::kGru);
  const char* const names[] = {"gates",          "state",         "key",
                               "value",          "weight_query",  "score_weight",
                               "weight_context", "weight_hidden", "bias"};
  for (std::size_t i = 0; i < 9; ++i) {
    auto bad = good;
    bad[i] = bad[i].unsqueeze(0);
    EXPECT_NE(
        step_refusal(bad, DecoderCell::kGru).find(std::string("attend::decoder_step: ") + names[i]),
        std::string::npos)
        << names[i] << ": " << step_refusal(bad, DecoderCell::kGru);
    if (i == 8) continue;
    bad[i] = at::Tensor();
    EXPECT_NE(
        step_refusal(bad, DecoderCell::kGru).find(std::string("attend::decoder_step: ") + names[i]),
        std::string::npos)
        << names[i];
  }
  DecoderStepOptions o;
  o.memory = good[9];
  EXPECT_EQ(step_refusal(good, DecoderCell::kGru, o),
            "attend::decoder_step: memory is given, but only cell lstm has one");
  EXPECT_EQ(step_refusal(step_inputs({3, 5, 4, 3, 6}, DecoderCell::kLstm), DecoderCell::kLstm),
            "attend::decoder_step: cell lstm needs memory [B, H]");
  o.memory = at::Tensor(), o.key_lengths = at::tensor({3, 0, 5}, at::kLong);
  EXPECT_NE(step_refusal(good, DecoderCell::kGru, o).find("key_lengths"), std::string::npos);
  o.key_lengths =
      at::tensor({3, 0, 4}, at::kLong);  // step_refusal gives a wrong packed with lengths
  EXPECT_EQ(step_refusal(good, DecoderCell::kGru, o),
            "attend::decoder_step: packed must be what decoder_step_pack makes of these weights");
}

}  // namespace
}  // namespace attend
