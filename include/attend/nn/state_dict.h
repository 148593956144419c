#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>

#include <string>
#include <utility>
#include <vector>

namespace attend::nn {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// A module's parameters and buffers by name ("layers.0.self_attn.in_proj_weight"), detached; they share memory.
NamedTensors state_dict(const torch::nn::Module& module);

/// Copies `state` into the module by name, converting dtype and device: the modules here have torch's names, so a file that
/// Python wrote with save_file(model.state_dict()) loads as it is (attend::interop::read_safetensors). Strict: nothing is
/// changed and Error(kBadInput) names the tensor that is missing, left over, repeated or of another shape.
void load_state_dict(torch::nn::Module& module, const NamedTensors& state);

}  // namespace attend::nn
