// Scaled dot-product attention beside PyTorch's, self-attention with as many queries as keys.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <optional>

#include "attend/ops/attention.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

constexpr double kDropout = 0.1;

/// Inputs of a case, and its options in both conventions.
struct Problem {
  explicit Problem(const SdpaCase& c) {
    const auto make = [&] {
      return at::randn({c.batch, c.heads, c.length, c.width}).set_requires_grad(true);
    };
    query = make(), key = make(), value = make();
    cotangent = at::randn({c.batch, c.heads, c.length, c.width});
    const at::Tensor place = at::arange(c.length, at::kLong);
    const at::Tensor ahead = place.unsqueeze(0) - place.unsqueeze(1);  // key − query
    switch (c.variant) {
      case SdpaVariant::kPlain:
        break;
      case SdpaVariant::kCausal:
        options.causal = true;
        break;
      case SdpaVariant::kDropout:
        options.dropout = kDropout;
        break;
      case SdpaVariant::kWeights:
        options.need_weights = true;
        break;
      case SdpaVariant::kHalfLengths:
        options.key_lengths = at::full({c.batch}, c.length / 2, at::kLong);
        mask = place.lt(c.length / 2).expand({c.batch, 1, c.length, c.length});
        break;
      case SdpaVariant::kMask:
        options.mask = mask = ahead.le(0);
        break;
      case SdpaVariant::kWindow:
        options.window_left = kSdpaWindow / 2, options.window_right = kSdpaWindow / 2 - 1;
        mask = ahead.ge(-options.window_left).logical_and(ahead.le(options.window_right));
        break;
      case SdpaVariant::kBfloat16Causal:
        options.causal = true;
        [[fallthrough]];
      case SdpaVariant::kBfloat16:
        narrow = true;
        break;
    }
  }
  /// The same problem in bfloat16.
  Problem in_bfloat16() const {
    Problem p = *this;
    const auto leaf = [](const at::Tensor& t) {
      return t.detach().to(at::kBFloat16).set_requires_grad(true);
    };
    p.query = leaf(query), p.key = leaf(key), p.value = leaf(value);
    p.cotangent = cotangent.to(at::kBFloat16);
    return p;
  }
  at::Tensor ours() const { return std::get<0>(sdpa(query, key, value, options)); }
  at::Tensor theirs() const {
    if (options.need_weights)
      return std::get<0>(compose::sdpa(query, key, value, options));  // PyTorch's returns none
    const auto given = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
    return at::scaled_dot_product_attention(query, key, value, given, options.dropout,
                                            options.causal);
  }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {query, key, value}, {cotangent}, /*retain_graph=*/true);
  }

  at::Tensor query, key, value, cotangent, mask;
  AttentionOptions options;
  bool narrow = false;  // ours in bfloat16, beside ours in float
};

using Side = at::Tensor (Problem::*)() const;

std::function<void()> one_side(const std::shared_ptr<Problem>& p, Side side, Direction direction) {
  if (direction == Direction::kBackward) return [p, kept = ((*p).*side)()] { p->backward(kept); };
  return [p, side] {
    const at::NoGradGuard off;
    ((*p).*side)();
  };
}

/// Keys that a query sees, on average.
double keys_of(const SdpaCase& c) {
  const auto length = static_cast<double>(c.length);
  switch (c.variant) {
    case SdpaVariant::kCausal:
    case SdpaVariant::kBfloat16Causal:
    case SdpaVariant::kHalfLengths:
    case SdpaVariant::kMask:
      return length / 2;
    case SdpaVariant::kWindow:
      return kSdpaWindow;
    default:
      return length;
  }
}

bool is_bfloat16(const SdpaCase& c) {
  return c.variant == SdpaVariant::kBfloat16 || c.variant == SdpaVariant::kBfloat16Causal;
}

void name_variant(const SdpaCase& c, Case& row) {
  const auto name = [&](const char* what, std::int64_t value) {
    row.shape.emplace_back(what, value);
  };
  switch (c.variant) {
    case SdpaVariant::kPlain:
      break;
    case SdpaVariant::kCausal:
      return name("causal", 1);
    case SdpaVariant::kDropout:
      return name("dropout", 1);
    case SdpaVariant::kWeights:
      return name("weights", 1);
    case SdpaVariant::kHalfLengths:
      return name("lengths", c.length / 2);
    case SdpaVariant::kMask:
      return name("mask", 1);
    case SdpaVariant::kWindow:
      return name("window", kSdpaWindow);
    case SdpaVariant::kBfloat16Causal:
      name("causal", 1);
      [[fallthrough]];
    case SdpaVariant::kBfloat16:
      return name("bf16", 1);
  }
}

Case make_case(const SdpaCase& c, Direction direction) {
  const auto queries = static_cast<double>(c.batch * c.heads * c.length),
             width = static_cast<double>(c.width);
  const bool forward = direction == Direction::kForward;
  Case row;
  row.op = "sdpa";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"H", c.heads}, {"L", c.length}, {"D", c.width}};
  name_variant(c, row);
  row.peer = c.variant == SdpaVariant::kWeights ? "composition"
             : is_bfloat16(c)                   ? "our float"
                                                : "libtorch";
  // Two products forward, five backward; not shown for bfloat16, whose peak is not the one that is measured.
  if (!is_bfloat16(c)) row.flops = queries * keys_of(c) * width * (forward ? 4 : 10);
  row.bytes = queries * width * (is_bfloat16(c) ? 2 : 4) * (forward ? 4 : 8);
  row.prepare = [=] {
    const auto p = std::make_shared<Problem>(c);
    if (p->narrow) {
      const auto narrow = std::make_shared<Problem>(p->in_bfloat16());
      return Runs{one_side(narrow, &Problem::ours, direction),
                  one_side(p, &Problem::ours, direction)};
    }
    return Runs{one_side(p, &Problem::ours, direction), one_side(p, &Problem::theirs, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kBackward})
    for (const SdpaCase& c : kSdpaCases)
      if (d == Direction::kForward || c.variant != SdpaVariant::kWeights)
        rows.push_back(make_case(c, d));  // same backward
  return rows;
}};

}  // namespace
}  // namespace attend::bench
