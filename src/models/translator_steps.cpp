#include "attend/models/translator_steps.h"

#include <utility>

namespace attend::models {

TranslatorSteps::TranslatorSteps(Translator& translator, at::Tensor source, at::Tensor lengths)
    : translator_(translator), source_(std::move(source)), lengths_(std::move(lengths)) {
  start();
}

}  // namespace attend::models
