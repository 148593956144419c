#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/models/bert.h"
#include "attend/models/classifier.h"
#include "attend/nn/init.h"
#include "attend/nn/loss.h"
#include "attend/nn/packed.h"

namespace attend::models {
namespace {

constexpr double kBertHeadDeviation = 0.02;   // initializer_range of Devlin et al.
constexpr std::int64_t kBertHeadDropout = 1;  // layer of its stream; 0 is the embeddings'

class BertClassifier final : public Classifier {
 public:
  BertClassifier(const ClassifierConfig& config, BertEncoder encoder, std::uint64_t seed)
      : config_(config), encoder_(std::move(encoder)), named_(encoder_.parameters()) {
    const at::Tensor words = named_.front().second;
    words.set_requires_grad(!config.freeze_embedding);
    const std::int64_t outputs = config.classes == 2 ? 1 : config.classes;
    Random random(seed, Purpose::kInit);
    dense_ =
        nn::normal({outputs, config.bert.width}, kBertHeadDeviation, random, words.scalar_type());
    dense_bias_ = at::zeros({outputs}, words.options().requires_grad(false));
    named_.emplace_back("dense.weight", dense_.set_requires_grad(true));
    named_.emplace_back("dense.bias", dense_bias_.set_requires_grad(true));
  }

  ClassifierOutput forward(const ClassifierBatch& batch, const Pass& pass) override {
    return classify(words_of(batch), batch.lengths, pass);
  }

  std::vector<SelfAttention> self_attention(const ClassifierBatch& batch) override {
    const at::NoGradGuard off;
    nn::AttentionCapture seen;
    encoder_.encode(words_of(batch), batch.lengths + 2, {}, Pass{}, &seen);
    const std::int64_t most = batch.ids.size(1), longest = batch.lengths.max().item<std::int64_t>();
    const at::Tensor is_word = at::arange(most) < batch.lengths.unsqueeze(1);  // [B,T]
    const at::Tensor both = is_word.unsqueeze(2) & is_word.unsqueeze(1);       // [B,T,T]
    std::vector<SelfAttention> out;
    for (const nn::AttentionCapture::Entry& entry : seen.entries)
      for (std::int64_t head = 0; head < entry.weights.size(1); ++head) {
        const at::Tensor own =
            entry.weights.select(1, head).narrow(1, 1, longest).narrow(2, 1, longest);
        const at::Tensor padded =
            at::constant_pad_nd(own, {0, most - longest, 0, most - longest}) * both;
        out.push_back({entry.layer, head, padded});
      }
    return out;
  }

  ClassifierOutput forward_embedded(const at::Tensor& embedded, const at::Tensor& lengths,
                                    const Pass& pass) override {
    if (embedded.dim() != 3 || embedded.size(2) != config_.bert.width)
      fail_usage("classifier: embedded must be [B,T,C] with C=" +
                 std::to_string(config_.bert.width));
    check_lengths(embedded, lengths);
    const at::Tensor special = encoder_.words(special_ids().unsqueeze(0)).squeeze(0);  // [2,C]
    return classify(enclosed(special, nn::pack(embedded, lengths), lengths), lengths, pass);
  }

  at::Tensor embed(const at::Tensor& ids) override { return encoder_.words(ids); }

  at::Tensor loss(const ClassifierOutput& output, const at::Tensor& labels) override {
    return nn::cross_entropy(output.logits, labels, {});
  }

  NamedTensors parameters() override { return named_; }
  const ClassifierConfig& config() const override { return config_; }

 private:
  /// Vectors of all words with [CLS] and [SEP], packed: [Σ (lengths + 2),C].
  at::Tensor words_of(const ClassifierBatch& batch) {
    if (!batch.ids.defined() || batch.ids.dim() != 2)
      fail_usage("classifier: ids must be [B,T] int64");
    check_lengths(batch.ids, batch.lengths);
    const at::Tensor ids = nn::pack(batch.ids.unsqueeze(2), batch.lengths).squeeze(1);
    const at::Tensor all = enclosed(special_ids(), ids, batch.lengths);  // [N]
    return encoder_.words(all.unsqueeze(0)).squeeze(0);
  }

  void check_lengths(const at::Tensor& x, const at::Tensor& lengths) const {
    if (x.size(1) > config_.max_length)
      fail_usage("classifier: " + std::to_string(x.size(1)) +
                 " positions, more than max_length = " + std::to_string(config_.max_length));
    if (!lengths.defined() || lengths.dim() != 1 || lengths.size(0) != x.size(0) ||
        lengths.scalar_type() != at::kLong)
      fail_usage("classifier: lengths must be [B] int64, one for each of the " +
                 std::to_string(x.size(0)) + " rows");
  }

  at::Tensor special_ids() const {
    return at::tensor({config_.begin_id, config_.end_id}, at::kLong);
  }

  /// [CLS] in front of and [SEP] behind the words of each sentence, as ids ([2] and [Σ lengths] → [Σ (lengths + 2)]) or as
  /// vectors ([2,C] and [Σ lengths,C] → [Σ (lengths + 2),C]).
  static at::Tensor enclosed(const at::Tensor& special, const at::Tensor& words,
                             const at::Tensor& lengths) {
    const at::Tensor own = lengths.contiguous();
    const std::int64_t* length = own.const_data_ptr<std::int64_t>();
    at::Tensor order = at::empty({words.size(0) + 2 * own.size(0)}, at::kLong);
    std::int64_t* place = order.mutable_data_ptr<std::int64_t>();
    std::int64_t word = 2;  // behind the two special ones
    for (std::int64_t b = 0; b < own.size(0); ++b) {
      *place++ = 0;
      for (std::int64_t t = 0; t < length[b]; ++t) *place++ = word++;
      *place++ = 1;
    }
    return at::index_select(at::cat({special, words}), 0, order);
  }

  /// Rows of all sentences [N,C] → one vector each [B,C].
  at::Tensor pooled(const at::Tensor& rows, const at::Tensor& lengths) const {
    if (config_.pooling == Pooling::kFirst)
      return at::index_select(rows, 0, lengths.cumsum(0) - lengths);
    return nn::unpack(rows, lengths).sum(1) / lengths.unsqueeze(1);
  }

  /// From the vectors of all words [Σ (lengths + 2),C].
  ClassifierOutput classify(const at::Tensor& words, const at::Tensor& lengths, const Pass& pass) {
    const at::Tensor all = lengths + 2;
    const at::Tensor rows = encoder_.encode(words, all, {}, pass);  // [N,C]
    const at::Tensor sentence = nn::dropout(pooled(rows, all), config_.dropout, pass,
                                            {kBertHeadDropout, false, nn::DropoutSite::kOutput});
    ClassifierOutput out;
    out.logits = at::linear(sentence, dense_, dense_bias_);  // [B,K]
    return out;
  }

  ClassifierConfig config_;
  BertEncoder encoder_;
  NamedTensors named_;
  at::Tensor dense_, dense_bias_;  // [K,C], [K]
};

}  // namespace

std::unique_ptr<Classifier> make_bert_classifier(const ClassifierConfig& config,
                                                 BertEncoder encoder, std::uint64_t seed) {
  check_config(config);
  if (config.architecture != ClassifierArchitecture::kBert ||
      parameters_of(encoder.config()) != parameters_of(config.bert))
    fail_usage("classifier: the encoder is not of the config's shape");
  return std::make_unique<BertClassifier>(config, std::move(encoder), seed);
}

}  // namespace attend::models
