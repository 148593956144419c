// What libtorch's ProcessGroupGloo.hpp names of Gloo. PyTorch's packages hold Gloo inside libtorch_cpu.so but not its headers;
// nothing declared here is ever defined, made or called by this project.
#pragma once
#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
