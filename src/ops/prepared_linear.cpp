#include "attend/ops/prepared_linear.h"

#include <ATen/ops/gelu.h>

#include <string>

#include "attend/base/error.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

constexpr const char* kPrepared = "attend::PreparedLinear";

void check_prepared_rows(const char* name, const at::Tensor& t, std::int64_t width) {
  const std::string at = std::string(kPrepared) + ": " + name;
  if (!t.defined() || t.dim() < 1 || t.size(-1) != width)
    fail_usage(at + " must be […," + std::to_string(width) + "]");
  if (t.scalar_type() != at::kFloat || !t.device().is_cpu())
    fail_usage(at + " must be float on the CPU");
}

}  // namespace

PreparedLinear::PreparedLinear(const at::Tensor& weight, const at::Tensor& bias,
                               Precision precision) {
  ShapeCheck n(kPrepared);
  n("weight", weight, {"O", "I"}).optional("bias", bias, {"O"});
  check_prepared_rows("weight", weight, weight.size(1));
  if (precision == Precision::kInt8 && weight.size(1) > kernels::kMostInt8Inputs)
    fail_usage(std::string(kPrepared) + ": weight has I=" + std::to_string(weight.size(1)) +
               ", more than int8 sums hold: at most " + std::to_string(kernels::kMostInt8Inputs));
  shape_ = {precision, weight.size(0), weight.size(1)};
  const at::Tensor rows = weight.detach().contiguous();
  memory_ = pooled_bytes_for(kernels::prepared_bytes(shape_));
  kernels::prepare_weights(shape_, rows.const_data_ptr<float>(), rows.size(1),
                           memory_.mutable_data_ptr<float>());
  if (bias.defined()) bias_ = bias.detach().clone().contiguous();
}

kernels::PreparedProduct PreparedLinear::product() const {
  if (!memory_.defined()) fail_usage(std::string(kPrepared) + ": it holds no weights");
  kernels::PreparedProduct p;
  p.shape = shape_;
  p.weights = memory_.const_data_ptr<float>();
  if (bias_.defined()) p.bias = bias_.const_data_ptr<float>();
  return p;
}

at::Tensor PreparedLinear::operator()(const at::Tensor& input, Activation activation) const {
  kernels::PreparedProduct p = product();
  check_prepared_rows("input", input, shape_.inputs);
  const at::Tensor x = input.detach().contiguous();
  auto shape = input.sizes().vec();
  shape.back() = shape_.outputs;
  at::Tensor y = pooled_empty(shape, x.options());
  p.rows = x.dim() == 1 ? 1 : x.flatten(0, -2).size(0);
  p.x = x.const_data_ptr<float>(), p.x_row = shape_.inputs;
  p.y = y.mutable_data_ptr<float>(), p.y_row = shape_.outputs;
  if (activation == Activation::kRelu) p.finish = kernels::GemmFinish::kRelu;
  const at::Tensor workspace = pooled_bytes_for(kernels::prepared_workspace(p));
  p.workspace = workspace.mutable_data_ptr<float>();
  kernels::prepared_product(p);
  note_fused(kPrepared);
  if (activation == Activation::kGelu) at::gelu_(y, "none");
  if (activation == Activation::kGeluTanh) at::gelu_(y, "tanh");
  return y;
}

void PreparedLinear::add_to(const at::Tensor& output, const at::Tensor& input) const {
  kernels::PreparedProduct p = product();
  check_prepared_rows("input", input, shape_.inputs);
  check_prepared_rows("output", output, shape_.outputs);
  if (input.dim() != 2 || output.dim() != 2 || input.size(0) != output.size(0) ||
      !input.is_contiguous() || !output.is_contiguous())
    fail_usage(std::string(kPrepared) + ": add_to takes dense input [N,I] and output [N,O]");
  p.adds = true, p.rows = input.size(0);
  p.x = input.const_data_ptr<float>(), p.x_row = shape_.inputs;
  p.y = output.mutable_data_ptr<float>(), p.y_row = shape_.outputs;
  const at::Tensor workspace = pooled_bytes_for(kernels::prepared_workspace(p));
  p.workspace = workspace.mutable_data_ptr<float>();
  kernels::prepared_product(p);
  note_fused(kPrepared);
}

}  // namespace attend
