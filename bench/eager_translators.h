#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "attend/models/translator.h"

namespace attend::bench {

/// A translator's loss as a user of libtorch writes it, operator by operator, on the parameters of ours; sentences of full length.
struct Eager {
  const models::TranslatorConfig& config;
  const std::map<std::string, at::Tensor>& p;
  at::Tensor positions;   // [≥ L, E], what a Transformer adds
  bool training = false;  // with dropout

  at::Tensor transformer(const models::TranslationBatch& batch) const;
  at::Tensor rnnsearch(const models::TranslationBatch& batch) const;
  at::Tensor luong_local(const models::TranslationBatch& batch) const;

 private:
  at::Tensor get(const std::string& name) const { return p.at(name); }
  at::Tensor linear(const at::Tensor& x, const std::string& name) const;
  at::Tensor loss(const at::Tensor& readout, const at::Tensor& table,
                  const models::TranslationBatch& batch) const;
  at::Tensor dropped(const at::Tensor& x) const;           // every element by itself
  at::Tensor sentence_dropped(const at::Tensor& x) const;  // one mask for all words
  // The Transformer's parts.
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor attend(const at::Tensor& x, const at::Tensor& memory, const std::string& name,
                    bool causal) const;
  at::Tensor feed_forward(const at::Tensor& x, const std::string& name) const;
  at::Tensor embedded(const std::string& table, const at::Tensor& ids) const;
};

}  // namespace attend::bench
