#include "attend/nn/embedding.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "attend/base/threads.h"

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

constexpr std::int64_t kBlock = 4096;
constexpr std::int64_t kParallelFrom =
    1 << 16;  // elements; below, waking a thread costs more than it does

struct Range {
  std::int64_t begin, end;
};
Range part(std::int64_t n, int i, int parts) { return {n * i / parts, n * (i + 1) / parts}; }

/// How many workers share `elements`. Each result below is the same bits whatever this says.
int parts_for(std::int64_t elements) { return elements < kParallelFrom ? 1 : threads(); }

template <class T>
void gather(const T* table, std::int64_t width, const std::int64_t* ids, Range rows, T* out) {
  const auto bytes = sizeof(T) * static_cast<std::size_t>(width);
  for (std::int64_t i = rows.begin; i < rows.end; ++i)
    std::memcpy(out + i * width, table + ids[i] * width, bytes);
}

/// Σ x² of at most kBlock numbers, in 16 fixed lanes.
template <class T>
double sum_of_squares(const T* x, std::int64_t n) {
  T lane[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int l = 0; l < 16; ++l) lane[l] += x[i + l] * x[i + l];
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const T sum : lane) total += static_cast<double>(sum);
  return total;
}

template <class T>
void forward_values(const at::Tensor& table, const at::Tensor& ids, double l2,
                    const at::Tensor& out, const at::Tensor& penalty) {
  const T* from = table.const_data_ptr<T>();
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  T* to = out.data_ptr<T>();
  const std::int64_t n = l2 == 0.0 ? 0 : table.numel();
  std::vector<double> sums(static_cast<std::size_t>((n + kBlock - 1) / kBlock));
  const int parts = parts_for(n + out.numel());
  parallel_run(parts, [&](int i) {
    // The sums come first: they stream the table into the cache that gather then reads at random.
    const Range blocks = part(static_cast<std::int64_t>(sums.size()), i, parts);
    for (std::int64_t b = blocks.begin; b < blocks.end; ++b)
      sums[static_cast<std::size_t>(b)] =
          sum_of_squares(from + b * kBlock, std::min(kBlock, n - b * kBlock));
    gather(from, table.size(1), id, part(ids.numel(), i, parts), to);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  *penalty.data_ptr<T>() = static_cast<T>(l2 * total);
}

/// Rows of the table's gradient: factor · table plus, in the order of the batch, what fell on them.
template <class T>
void gradient_rows(const T* table, double factor, const std::int64_t* ids, std::int64_t count,
                   const T* grad, std::int64_t width, Range rows, T* __restrict to) {
  const T f = static_cast<T>(factor);
  if (factor == 0.0) {
    std::fill(to + rows.begin * width, to + rows.end * width, T(0));
  } else {
    for (std::int64_t i = rows.begin * width; i < rows.end * width; ++i) to[i] = f * table[i];
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if (ids[i] < rows.begin || ids[i] >= rows.end) continue;
    T* __restrict row = to + ids[i] * width;
    const T* __restrict add = grad + i * width;
    for (std::int64_t e = 0; e < width; ++e) row[e] += add[e];
  }
}

template <class T>
void gradient(const at::Tensor& table, const at::Tensor& ids, const at::Tensor& grad, double factor,
              const at::Tensor& out) {
  const std::int64_t count = grad.defined() ? ids.numel() : 0;
  const T* g = grad.defined() ? grad.const_data_ptr<T>() : nullptr;
  const T* from = table.const_data_ptr<T>();
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  T* to = out.data_ptr<T>();
  const int parts = parts_for(table.numel());
  parallel_run(parts, [&](int i) {
    gradient_rows(from, factor, id, count, g, table.size(1), part(table.size(0), i, parts), to);
  });
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
      forward_values<float>(table, ids, l2, out, penalty);
    } else {
      forward_values<double>(table, ids, l2, out, penalty);
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
      gradient<float>(table, ids, grad, factor, out);
    } else {
      gradient<double>(table, ids, grad, factor, out);
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
