#include "attend/nn/state_dict.h"

#include <ATen/core/grad_mode.h>

#include <map>
#include <sstream>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

std::string shape_text(const at::Tensor& t) {
  std::ostringstream text;
  text << t.sizes();
  return text.str();
}

}  // namespace

NamedTensors state_dict(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& item : module.named_parameters())
    state.emplace_back(item.key(), item.value().detach());
  for (const auto& item : module.named_buffers())
    state.emplace_back(item.key(), item.value().detach());
  return state;
}

void load_state_dict(torch::nn::Module& module, const NamedTensors& state) {
  std::map<std::string, at::Tensor> given;
  for (const auto& [name, tensor] : state)
    if (!given.emplace(name, tensor).second) fail_input("state dict: " + name + " is there twice");
  const NamedTensors wanted = state_dict(module);
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    if (found == given.end())
      fail_input("state dict: " + name + " " + shape_text(tensor) + " is missing");
    if (found->second.sizes() != tensor.sizes())
      fail_input("state dict: " + name + " has shape " + shape_text(found->second) +
                 " but the module's has " + shape_text(tensor));
  }
  if (given.size() > wanted.size()) {
    for (const auto& [name, tensor] : wanted) given.erase(name);
    fail_input("state dict: the module has no " + given.begin()->first);
  }
  const at::NoGradGuard off;
  for (const auto& [name, tensor] : wanted) tensor.copy_(given.at(name));
}

}  // namespace attend::nn
