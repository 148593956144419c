#pragma once
#include <string>

#include "attend/nn/parameters.h"
#include "attend/train/run.h"

namespace attend::train {

/// Opens a finished run of this kind after comparing every file with SHA256SUMS; throws as load_run, and kBadInput for a run of
/// another kind.
RunFiles open_run(const std::string& path, TaskKind kind);

/// Copies model.safetensors into parameters of the same names, shapes and dtypes; throws kBadInput naming the first that differs.
void load_parameters(const nn::NamedTensors& parameters, const std::string& path);

}  // namespace attend::train
