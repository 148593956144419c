#include "attend/ops/gru.h"

#include "attend/base/error.h"
#include "ops/shape_check.h"

namespace attend {

std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& input, const at::Tensor& weight_ih,
                                       const at::Tensor& weight_hh, const at::Tensor& bias_ih,
                                       const at::Tensor& bias_hh, const GruOptions& options) {
  ShapeCheck n("attend::gru");
  n("input", input, {"B", "T", "I"})("weight_hh", weight_hh, {"3H", "H"})("weight_ih", weight_ih,
                                                                          {"3H", "I"});
  n.optional("bias_ih", bias_ih, {"3H"}).optional("bias_hh", bias_hh, {"3H"});
  n.optional("h0", options.h0, {"B", "H"}).optional("input_mask", options.input_mask, {"B", "I"});
  n.optional("recurrent_mask", options.recurrent_mask, {"B", "H"});
  n.lengths("lengths", options.lengths, "T");
  if (bias_ih.defined() != bias_hh.defined())
    fail_usage("attend::gru: give both bias_ih and bias_hh, or neither");
  return compose::gru(input, weight_ih, weight_hh, bias_ih, bias_hh, options);
}

}  // namespace attend
