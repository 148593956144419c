#include "attend/nn/embedding.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& table, const at::Tensor& ids) {
  if (table.dim() != 2 || !table.is_contiguous() || !table.device().is_cpu() ||
      (table.scalar_type() != at::kFloat && table.scalar_type() != at::kDouble))
    fail_usage("embed: table must be a contiguous [N,E] float or double tensor on the CPU");
  if (ids.dim() != 2 || ids.scalar_type() != at::kLong || !ids.device().is_cpu())
    fail_usage("embed: ids must be [B,T] int64 on the CPU");
  const std::int64_t* p = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i)
    if (p[i] < 0 || p[i] >= table.size(0))
      fail_input("embed: id " + std::to_string(p[i]) + " at row " +
                 std::to_string(i / ids.size(1)) + ", position " + std::to_string(i % ids.size(1)) +
                 " is outside [0, " + std::to_string(table.size(0)) +
                 "): the vocabulary doesn't fit the model");
}

template <class T>
void gather(const at::Tensor& table, const at::Tensor& ids, const at::Tensor& out) {
  const std::int64_t n = ids.numel(), width = table.size(1);
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  const T* from = table.const_data_ptr<T>();
  T* to = out.data_ptr<T>();
  for (std::int64_t i = 0; i < n; ++i)
    std::memcpy(to + i * width, from + id[i] * width, sizeof(T) * static_cast<std::size_t>(width));
}

/// Σ x²: partial sums of 4,096 in the tensor's dtype, in 16 fixed lanes, then in double.
template <class T>
double sum_of_squares(const at::Tensor& x) {
  const T* p = x.const_data_ptr<T>();
  const std::int64_t n = x.numel();
  double total = 0;
  for (std::int64_t block = 0; block < n; block += 4096) {
    const std::int64_t end = std::min(n, block + 4096);
    T lane[16] = {};
    std::int64_t i = block;
    for (; i + 16 <= end; i += 16)
      for (int l = 0; l < 16; ++l) lane[l] += p[i + l] * p[i + l];
    for (; i < end; ++i) total += static_cast<double>(p[i]) * static_cast<double>(p[i]);
    for (const T part : lane) total += static_cast<double>(part);
  }
  return total;
}

template <class T>
void fill(const at::Tensor& table, const at::Tensor& ids, double l2, const at::Tensor& out,
          const at::Tensor& penalty) {
  // The sum comes first: it streams the table into the cache that gather then reads at random.
  *penalty.data_ptr<T>() = l2 == 0.0 ? T(0) : static_cast<T>(l2 * sum_of_squares<T>(table));
  gather<T>(table, ids, out);
}

template <class T>
void scatter(const at::Tensor& table, const at::Tensor& ids, const at::Tensor& grad, double factor,
             const at::Tensor& out) {
  const std::int64_t n = out.numel(), width = table.size(1);
  T* __restrict to = out.data_ptr<T>();
  if (factor == 0.0) {
    std::fill(to, to + n, T(0));
  } else {
    const T f = static_cast<T>(factor);
    const T* __restrict from = table.const_data_ptr<T>();
    for (std::int64_t i = 0; i < n; ++i) to[i] = f * from[i];
  }
  if (!grad.defined()) return;
  const T* g = grad.const_data_ptr<T>();
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    T* __restrict row = to + id[i] * width;
    const T* __restrict add = g + i * width;
    for (std::int64_t e = 0; e < width; ++e) row[e] += add[e];
  }
}

class Embed : public torch::autograd::Function<Embed> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& table,
                               const at::Tensor& ids, double l2) {
    context->set_materialize_grads(false);
    context->save_for_backward({table, ids});
    context->saved_data["l2"] = l2;
    const at::Tensor out = at::empty({ids.size(0), ids.size(1), table.size(1)}, table.options());
    const at::Tensor penalty = at::empty({}, table.options());
    if (table.scalar_type() == at::kFloat) {
      fill<float>(table, ids, l2, out, penalty);
    } else {
      fill<double>(table, ids, l2, out, penalty);
    }
    return {out, penalty};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    if (!grads[0].defined() && !grads[1].defined()) return {{}, {}, {}};
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &table = saved[0], &ids = saved[1];
    const at::Tensor grad = grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    const double l2 = context->saved_data["l2"].toDouble();
    const double factor = grads[1].defined() ? 2.0 * l2 * grads[1].item().toDouble() : 0.0;
    const at::Tensor out = at::empty_like(table);
    if (table.scalar_type() == at::kFloat) {
      scatter<float>(table, ids, grad, factor, out);
    } else {
      scatter<double>(table, ids, grad, factor, out);
    }
    return {out, {}, {}};
  }
};

}  // namespace

std::tuple<at::Tensor, at::Tensor> embed(const at::Tensor& table, const at::Tensor& ids,
                                         double l2) {
  const at::Tensor rows = ids.contiguous();
  check(table, rows);
  const variable_list out = Embed::apply(table, rows, l2);
  return {out[0], out[1]};
}

}  // namespace attend::nn
