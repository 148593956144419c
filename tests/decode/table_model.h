#pragma once
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "attend/base/random.h"
#include "attend/decode/search.h"

namespace attend::decode {

using Tokens = std::vector<std::int64_t>;

inline constexpr std::int64_t kEos = 3;

/// p(token | source, all tokens so far) from a hash: a table without structure, so that nothing but
/// the right history gives the right numbers. Attention likewise.
class TableModel : public models::StepModel {
 public:
  TableModel(std::vector<std::uint64_t> sources, std::int64_t vocabulary, std::int64_t keys = 4)
      : ids_(std::move(sources)), vocabulary_(vocabulary), keys_(keys) {}

  std::int64_t sources() const override { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t vocabulary() const override { return vocabulary_; }
  void start() override {
    histories_.clear();
    for (const std::uint64_t id : ids_) histories_.push_back({id, {}});
  }
  models::StepResult step(const at::Tensor& tokens, const at::Tensor& parents) override {
    std::vector<History> next;
    for (std::int64_t r = 0; r < tokens.size(0); ++r) {
      next.push_back(histories_.at(static_cast<std::size_t>(parents[r].item<std::int64_t>())));
      next.back().tokens.push_back(tokens[r].item<std::int64_t>());
    }
    histories_ = std::move(next);
    ++steps;
    rows += tokens.size(0);
    const auto n = tokens.size(0);
    models::StepResult out{at::empty({n, vocabulary_}, at::kDouble), at::Tensor()};
    if (keys_ > 0) out.attention = at::empty({n, keys_}, at::kFloat);
    for (std::int64_t r = 0; r < n; ++r) {
      const History& history = histories_[static_cast<std::size_t>(r)];
      const auto p = log_p(history.source, history.tokens);
      std::copy(p.begin(), p.end(),
                out.log_probabilities.mutable_data_ptr<double>() + r * vocabulary_);
      if (keys_ == 0) continue;
      const auto a = attention(history.source, history.tokens);
      std::copy(a.begin(), a.end(), out.attention.mutable_data_ptr<float>() + r * keys_);
    }
    return out;
  }

  /// `tokens` begins with bos.
  std::vector<double> log_p(std::uint64_t source, const Tokens& tokens) const {
    Random random = stream(source, tokens);
    std::vector<double> out;
    double sum = 0;
    for (std::int64_t v = 0; v < vocabulary_; ++v) {
      out.push_back(std::exp(2 * random.normal()) * (v == kEos ? eos_weight : 1));
      sum += out.back();
    }
    for (double& p : out) p = std::log(p / sum);
    return out;
  }
  std::vector<float> attention(std::uint64_t source, const Tokens& tokens) const {
    Random random = stream(source, tokens);
    for (int i = 0; i < 100; ++i) random.bits();
    std::vector<float> out;
    float sum = 0;
    for (std::int64_t j = 0; j < keys_; ++j)
      out.push_back(static_cast<float>(std::exp(2 * random.normal()))), sum += out.back();
    for (float& a : out) a /= sum;
    return out;
  }

  double eos_weight = 1;
  std::int64_t steps = 0, rows = 0;

 private:
  struct History {
    std::uint64_t source;
    Tokens tokens;
  };
  static Random stream(std::uint64_t source, const Tokens& tokens) {
    std::uint64_t hash = source + 1;
    for (const std::int64_t token : tokens)
      hash = hash * 1000003 + static_cast<std::uint64_t>(token) + 7;
    return Random(hash, Purpose::kGenerate);
  }
  std::vector<std::uint64_t> ids_;
  std::int64_t vocabulary_, keys_;
  std::vector<History> histories_;
};

inline void expect_same(const Hypothesis& a, const Hypothesis& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_NEAR(a.log_probability, b.log_probability, 1e-12);
  EXPECT_NEAR(a.score, b.score, 1e-12);
  EXPECT_EQ(a.attention, b.attention);
  EXPECT_EQ(a.ended, b.ended);
}

}  // namespace attend::decode
