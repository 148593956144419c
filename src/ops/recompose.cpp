#include "ops/recompose.h"

#include <torch/csrc/autograd/autograd.h>

namespace attend {

TensorList gradients_by_recomposing(const TensorList& inputs, const TensorList& cotangents,
                                    const std::function<TensorList(const TensorList&)>& compose) {
  const bool create_graph = at::GradMode::is_enabled();  // a second derivative is asked for
  const at::AutoGradMode on(true);
  TensorList wanted;
  std::vector<std::size_t> place;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined() && inputs[i].requires_grad()) {
      wanted.push_back(inputs[i]);
      place.push_back(i);
    }
  const TensorList all = compose(inputs);
  TensorList outputs, given;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (cotangents[i].defined() && all[i].requires_grad()) {
      outputs.push_back(all[i]);
      given.push_back(cotangents[i]);
    }
  TensorList result(inputs.size());
  if (outputs.empty() || wanted.empty()) return result;
  const auto found = torch::autograd::grad(outputs, wanted, given, true, create_graph, true);
  for (std::size_t i = 0; i < place.size(); ++i) result[place[i]] = found[i];
  return result;
}

}  // namespace attend
