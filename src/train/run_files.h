#pragma once
#include <string>

#include "attend/nn/parameters.h"
#include "attend/train/run.h"

namespace attend::train {

/// Opens a finished run after comparing every file with SHA256SUMS; throws as load_run.
RunFiles open_run(const std::string& path);

/// Copies model.safetensors into parameters of the same names, shapes and dtypes; throws kBadInput naming the first that differs.
void load_parameters(const nn::NamedTensors& parameters, const std::string& path);

}  // namespace attend::train
