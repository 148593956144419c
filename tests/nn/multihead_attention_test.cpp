// Multi-head attention: the paper's equation in float64 loops (grouped heads, a head width of its own), gradients by central
// differences, and what the module adds: cache, packed batches, pruning, head masks, dropout by mode.
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "attend/base/error.h"
#include "attend/nn/multihead_attention.h"
#include "attend/nn/packed.h"
#include "support/compare.h"
#include "support/gradcheck.h"

namespace attend::nn {
namespace {

using test::random_tensor;
using Shape = std::vector<std::int64_t>;

/// A module in float64 whose every parameter is random, biases too.
MultiheadAttention make(const MultiheadAttentionOptions& options, std::uint64_t seed = 1) {
  MultiheadAttention m(options);
  m->to(at::kDouble);
  m->eval();
  const at::NoGradGuard off;
  for (auto& item : m->named_parameters())
    item.value().copy_(random_tensor(item.value().sizes(), ++seed, 0.7));
  return m;
}

at::Tensor lengths_of(const std::vector<std::int64_t>& l) { return at::tensor(l, at::kLong); }

/// Relative error allowed where the same sum is added up in another order.
constexpr double kRounding = 1e-14;

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

at::Tensor row(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
               std::int64_t first, std::int64_t count) {
  return weight.narrow(0, first, count).matmul(x) + bias.narrow(0, first, count);
}

TEST(MultiheadAttention, IsThePapersEquationWithGroupedHeads) {
  const std::int64_t H = 4, Hkv = 2, D = 3, C = 5, L = 6;
  MultiheadAttention m = make(MultiheadAttentionOptions(C, H).num_kv_heads(Hkv).head_width(D));
  ASSERT_EQ(m->in_proj_weight.sizes(), (Shape{(H + 2 * Hkv) * D, C}));
  const at::Tensor x = random_tensor({2, L, C}, 9);
  AttentionOptions visible;
  visible.causal = true;
  visible.need_weights = true;
  const at::NoGradGuard off;
  const auto [output, weights] = m->forward(x, x, x, visible);
  ASSERT_EQ(weights.sizes(), (Shape{2, H, L, L}));
  const at::Tensor w = m->in_proj_weight, b = m->in_proj_bias;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < L; ++i) {
      at::Tensor all = m->out_proj->bias.clone();
      for (std::int64_t h = 0; h < H; ++h) {
        const std::int64_t g = h / (H / Hkv);
        const at::Tensor q = row(x[n][i], w, b, h * D, D);
        double sum = 0;
        std::vector<double> e;
        for (std::int64_t j = 0; j <= i; ++j) {
          e.push_back(
              std::exp(q.dot(row(x[n][j], w, b, (H + g) * D, D)).item<double>() / std::sqrt(3.0)));
          sum += e.back();
        }
        at::Tensor head = at::tensor(std::vector<double>(D, 0.0), at::kDouble);
        for (std::int64_t j = 0; j <= i; ++j) {
          const double a = e[static_cast<std::size_t>(j)] / sum;
          EXPECT_NEAR(weights[n][h][i][j].item<double>(), a, 1e-13);
          head = head + a * row(x[n][j], w, b, (H + Hkv + g) * D, D);
        }
        all = all + m->out_proj->weight.narrow(1, h * D, D).matmul(head);
      }
      EXPECT_LT(test::relative_error(output[n][i], all), 1e-13);
    }
}

TEST(MultiheadAttention, OneProjectionOrThreeIsTheSame) {
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3));
  const at::Tensor x = random_tensor({2, 5, 6}, 3), y = random_tensor({2, 4, 6}, 4);
  const auto run = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return std::get<0>(m->forward(q, k, v));
  };
  EXPECT_LT(test::relative_error(run(x, x, x), run(x, x.clone(), x.clone())), kRounding);
  EXPECT_LT(test::relative_error(run(x, y, y), run(x, y, y.clone())), kRounding);
  EXPECT_TRUE(
      test::same_bits(run(x.transpose(0, 1).contiguous().transpose(0, 1), y, y), run(x, y, y)));
}

TEST(MultiheadAttention, GradientsOfEverything) {
  MultiheadAttention m =
      make(MultiheadAttentionOptions(4, 4).num_kv_heads(2).head_width(2).rotary(Rotary::kHalves));
  AttentionOptions visible;
  visible.key_lengths = lengths_of({3, 2});
  visible.need_weights = true;
  const auto run = [&](const std::vector<at::Tensor>& in) {
    m->in_proj_weight = in[1], m->in_proj_bias = in[2], m->out_proj->weight = in[3],
    m->out_proj->bias = in[4], m->head_mask = in[5];
    const auto [output, weights] = m->forward(in[0], in[0], in[0], visible);
    return std::vector<at::Tensor>{output, weights};
  };
  test::expect_gradients(run, {{"x", random_tensor({2, 3, 4}, 1)},
                               {"in_proj_weight", m->in_proj_weight.clone()},
                               {"in_proj_bias", m->in_proj_bias.clone()},
                               {"out_proj.weight", m->out_proj->weight.clone()},
                               {"out_proj.bias", m->out_proj->bias.clone()},
                               {"head_mask", random_tensor({4}, 2)}});
}

TEST(MultiheadAttention, HiddenKeysAreHarmlessAndAnEmptyRowGivesTheBias) {
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 2));
  const at::NoGradGuard off;
  const at::Tensor q = random_tensor({2, 3, 6}, 1), k = random_tensor({2, 4, 6}, 2);
  AttentionOptions visible;
  visible.key_lengths = lengths_of({2, 0});
  visible.need_weights = true;
  const at::Tensor clean = std::get<0>(m->forward(q, k, k, visible));
  at::Tensor poisoned = k.clone();
  poisoned[0].slice(0, 2).fill_(std::numeric_limits<double>::quiet_NaN());
  poisoned[1].fill_(std::numeric_limits<double>::quiet_NaN());
  const auto [output, weights] = m->forward(q, poisoned, poisoned, visible);
  EXPECT_TRUE(test::same_bits(output, clean));
  EXPECT_TRUE(at::isfinite(output).all().item<bool>());
  EXPECT_EQ(weights[1].abs().sum().item<double>(), 0);
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_LT(test::relative_error(output[1][i], m->out_proj->bias), kRounding);
}

TEST(MultiheadAttention, CausalPastIgnoresTheFuture) {
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3).rotary(Rotary::kInterleaved));
  AttentionOptions visible;
  visible.causal = true;
  const at::Tensor x = random_tensor({1, 7, 6}, 1);
  at::Tensor changed = x.clone();
  changed[0][4].add_(1);
  const at::Tensor a = std::get<0>(m->forward(x, x, x, visible)),
                   b = std::get<0>(m->forward(changed, changed, changed, visible));
  EXPECT_TRUE(test::same_bits(a.narrow(1, 0, 4), b.narrow(1, 0, 4)));
  EXPECT_GT(test::relative_error(a.narrow(1, 4, 1), b.narrow(1, 4, 1)), 1e-3);
}

TEST(MultiheadAttention, WeightsPerHeadUnlessTheMeanIsAskedFor) {
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3));
  const at::Tensor x = random_tensor({2, 4, 6}, 1);
  AttentionOptions visible;
  EXPECT_FALSE(std::get<1>(m->forward(x, x, x, visible)).defined());
  visible.need_weights = true;
  const at::Tensor each = std::get<1>(m->forward(x, x, x, visible));
  m->options.head_weights(HeadWeights::kMean);
  EXPECT_TRUE(test::same_bits(std::get<1>(m->forward(x, x, x, visible)), each.mean(1)));
}

TEST(MultiheadAttention, DropoutFollowsTheMode) {
  MultiheadAttention m(MultiheadAttentionOptions(8, 2).dropout(0.5).seed(3));
  const at::Tensor x = random_tensor({2, 6, 8}, 1, 1, at::kFloat);
  AttentionOptions visible;
  visible.need_weights = true;
  const auto run = [&] { return m->forward(x, x, x, visible); };
  const auto [first, first_weights] = run();
  const auto [second, second_weights] = run();
  EXPECT_FALSE(at::equal(first, second));
  EXPECT_TRUE(at::equal(first_weights, second_weights));  // weights are those before dropout
  m->step = 0;
  EXPECT_TRUE(at::equal(std::get<0>(run()), first));
  m->eval();
  EXPECT_TRUE(at::equal(std::get<0>(run()), std::get<0>(run())));
  EXPECT_EQ(m->step, 1);
  MultiheadAttention other(MultiheadAttentionOptions(8, 2).dropout(0.5).seed(4));
  EXPECT_FALSE(at::equal(other->in_proj_weight, m->in_proj_weight));
}

TEST(MultiheadAttention, PrunedHeadsAreThoseAMaskSwitchesOff) {
  for (const auto& options :
       {MultiheadAttentionOptions(8, 4), MultiheadAttentionOptions(8, 4).kdim(5).vdim(7),
        MultiheadAttentionOptions(8, 4).num_kv_heads(2),
        MultiheadAttentionOptions(8, 4).add_bias_kv(true)}) {
    MultiheadAttention m = make(options);
    const at::Tensor q = random_tensor({2, 3, 8}, 1), k = random_tensor({2, 4, options.kdim()}, 2),
                     v = random_tensor({2, 4, options.vdim()}, 3);
    m->head_mask = at::tensor(std::vector<double>{0, 0, 1, 1}, at::kDouble);
    const at::Tensor masked = std::get<0>(m->forward(q, k, v));
    m->head_mask = at::Tensor();
    EXPECT_GT(test::relative_error(std::get<0>(m->forward(q, k, v)), masked), 1e-3);
    m->prune_heads({0, 1});
    EXPECT_LT(test::relative_error(std::get<0>(m->forward(q, k, v)), masked), kRounding);
    EXPECT_EQ(m->out_proj->weight.sizes(), (Shape{8, 4}));
    EXPECT_EQ(m->options.num_heads(), 2);
    EXPECT_EQ(m->head_width(), 2);
    const auto copy = std::dynamic_pointer_cast<MultiheadAttentionImpl>(m->clone());
    EXPECT_TRUE(at::equal(std::get<0>(copy->forward(q, k, v)), std::get<0>(m->forward(q, k, v))));
    std::get<0>(m->forward(q, k, v)).sum().backward();
    EXPECT_EQ(m->out_proj->weight.grad().sizes(), (Shape{8, 4}));
  }
}

/// Row t of the batch in steps of 1, 3 and 2 through a cache, beside one pass over all.
TEST(MultiheadAttention, DecodingWithACacheIsOnePass) {
  const at::NoGradGuard off;
  for (const Rotary rotary : {Rotary::kNone, Rotary::kHalves, Rotary::kInterleaved}) {
    MultiheadAttention m = make(MultiheadAttentionOptions(8, 4).num_kv_heads(2).rotary(rotary));
    const at::Tensor x =
        random_tensor({3, 26, 8}, 1);  // beyond the first 16 places: the cache grows
    AttentionOptions visible;
    visible.causal = true;
    const at::Tensor all = std::get<0>(m->forward(x, x, x, visible));
    KVCache cache;
    for (std::int64_t t = 0, n = 0; t < 26; t += n) {
      n = std::min<std::int64_t>(1 + t % 3, 26 - t);
      const at::Tensor part = x.narrow(1, t, n);
      EXPECT_LT(test::relative_error(std::get<0>(m->forward(part, part, part, visible, &cache)),
                                     all.narrow(1, t, n)),
                kRounding);
      EXPECT_EQ(cache.length(), t + n);
    }
    cache.truncate(20);
    const at::Tensor again = x.narrow(1, 20, 6);
    EXPECT_LT(test::relative_error(std::get<0>(m->forward(again, again, again, visible, &cache)),
                                   all.narrow(1, 20, 6)),
              kRounding);
  }
}

TEST(MultiheadAttention, BeamsCarryTheirKeys) {
  const at::NoGradGuard off;
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3));
  const at::Tensor x = random_tensor({2, 4, 6}, 1), next = random_tensor({3, 1, 6}, 2),
                   rows = lengths_of({1, 1, 0});
  KVCache cache;
  m->forward(x, x, x, {}, &cache);
  cache.reorder(rows);
  const at::Tensor ours = std::get<0>(m->forward(next, next, next, {}, &cache));
  const at::Tensor whole = at::cat({x.index_select(0, rows), next}, 1);
  EXPECT_LT(test::relative_error(ours, std::get<0>(m->forward(next, whole, whole))), kRounding);
}

TEST(MultiheadAttention, StaticKeysAreProjectedOnce) {
  const at::NoGradGuard off;
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3).kdim(5).vdim(5));
  const at::Tensor memory = random_tensor({2, 4, 5}, 1), q = random_tensor({2, 2, 6}, 2);
  KVCache cache(KVCache::Kind::kStatic);
  const at::Tensor first = std::get<0>(m->forward(q, memory, memory, {}, &cache));
  EXPECT_TRUE(test::same_bits(std::get<0>(m->forward(q, {}, {}, {}, &cache)), first));
  EXPECT_TRUE(test::same_bits(std::get<0>(m->forward(q, memory, memory)), first));
  EXPECT_EQ(cache.length(), 4);
}

TEST(MultiheadAttention, PackedIsPaddedWithoutThePadding) {
  for (const Rotary rotary : {Rotary::kNone, Rotary::kHalves}) {
    MultiheadAttention m = make(MultiheadAttentionOptions(6, 3).rotary(rotary));
    const at::Tensor x = random_tensor({3, 5, 6}, 1), lengths = lengths_of({5, 0, 3});
    AttentionOptions visible;
    visible.causal = true;
    visible.need_weights = true;
    const at::Tensor rows = pack(x, lengths);
    ASSERT_EQ(rows.sizes(), (Shape{8, 6}));
    EXPECT_TRUE(at::equal(rows[5], x[2][0]));
    EXPECT_TRUE(at::equal(pack(unpack(rows, lengths), lengths), rows));
    const auto [output, weights] = m->forward_packed(rows, lengths, visible);
    visible.key_lengths = visible.query_lengths = lengths;
    const auto [padded, padded_weights] = m->forward(x, x, x, visible);
    EXPECT_LT(test::relative_error(output, pack(padded, lengths)), kRounding);
    EXPECT_LT(test::relative_error(weights, padded_weights), kRounding);
  }
  MultiheadAttention m = make(MultiheadAttentionOptions(4, 2));
  test::expect_gradients(
      [&](const std::vector<at::Tensor>& in) {
        return std::vector<at::Tensor>{std::get<0>(m->forward_packed(in[0], lengths_of({2, 1})))};
      },
      {{"rows", random_tensor({3, 4}, 2)}});
}

TEST(MultiheadAttention, NamesAreTorchs) {
  const auto names = [](const MultiheadAttentionOptions& o) {
    return MultiheadAttention(o)->named_parameters().keys();
  };
  EXPECT_EQ(names(MultiheadAttentionOptions(6, 3)),
            (std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight",
                                      "out_proj.bias"}));
  EXPECT_EQ(names(MultiheadAttentionOptions(6, 3).bias(false).vdim(2)),
            (std::vector<std::string>{"q_proj_weight", "k_proj_weight", "v_proj_weight",
                                      "out_proj.weight"}));
}

TEST(MultiheadAttention, SaysWhatIsWrong) {
  const auto says = [](const std::string& part, const std::function<void()>& f) {
    const std::string text = message_of(f);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  says("embed_dim=7 is not a multiple of num_heads=2", [] { MultiheadAttention(7, 2); });
  says("num_heads=4 is not a multiple of num_kv_heads=3",
       [] { MultiheadAttention(MultiheadAttentionOptions(8, 4).num_kv_heads(3)); });
  says("dropout must be in [0, 1)",
       [] { MultiheadAttention(MultiheadAttentionOptions(8, 4).dropout(1.5)); });
  MultiheadAttention m = make(MultiheadAttentionOptions(6, 3));
  const at::Tensor x = random_tensor({2, 4, 6}, 1), wide = random_tensor({2, 4, 5}, 1);
  says("query has C=5 (shape [2, 4, 5]) but out_proj.weight set C=6",
       [&] { m->forward(wide, x, x); });
  says("key has C=5 (shape [2, 4, 5])", [&] { m->forward(x, wide, x); });
  says("value", [&] { m->forward(x, x, x.narrow(1, 0, 3)); });
  says("query", [&] { m->forward({}, x, x); });
  AttentionOptions dropping;
  dropping.dropout = 0.5;
  says("dropout and seed are the module's options", [&] { m->forward(x, x, x, dropping); });
  says("no head 3 to prune among H=3", [&] { m->prune_heads({3}); });
  says("pruning would leave no head", [&] { m->prune_heads({0, 1, 2}); });
  MultiheadAttention grouped = make(MultiheadAttentionOptions(8, 4).num_kv_heads(2));
  says("heads 0 to 1 share a key head", [&] { grouped->prune_heads({1}); });
  m->head_mask = at::tensor(std::vector<double>{1, 1}, at::kDouble);
  says("head_mask must be [H] with H=3", [&] { m->forward(x, x, x); });
  m->head_mask = at::Tensor();
  KVCache cache;
  says("a cache is for inference", [&] { m->forward(x, x, x, {}, &cache); });
  const at::NoGradGuard off;
  m->forward(x, x, x, {}, &cache);
  const at::Tensor three = random_tensor({3, 1, 6}, 1);
  says("KVCache: key has size 3 in dimension 0 but the cache holds 2",
       [&] { m->forward(three, three, three, {}, &cache); });
  says("rows must be in [0, B=2)", [&] { cache.reorder(lengths_of({2})); });
  says("cannot truncate 4 keys to 5", [&] { cache.truncate(5); });
  says("lengths must be in 0…4", [&] { pack(x, lengths_of({5, 1})); });
  says("rows must be [N,C] with N the sum of lengths", [&] { unpack(x[0], lengths_of({5})); });
}

}  // namespace
}  // namespace attend::nn
