#include "attend/nn/position.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <ostream>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/init.h"

namespace attend::nn {
namespace {

void check_positions(const char* name, const at::Tensor& input, std::int64_t offset) {
  if (input.dim() != 3) fail_usage(std::string(name) + ": input must be [B,L,C]");
  if (offset < 0) fail_usage(std::string(name) + ": offset must not be negative");
}

}  // namespace

at::Tensor sinusoidal_positions(std::int64_t length, std::int64_t width, std::int64_t offset,
                                at::ScalarType dtype) {
  if (length < 0 || width < 1 || offset < 0)
    fail_usage("sinusoidal_positions: length and offset must not be negative, width at least 1");
  const at::Tensor table = at::empty({length, width}, at::TensorOptions(at::kDouble));
  double* out = table.mutable_data_ptr<double>();
  for (std::int64_t p = 0; p < length; ++p)
    for (std::int64_t c = 0; c < width; ++c) {
      const double rate =
          std::pow(10000.0, -static_cast<double>(c - c % 2) / static_cast<double>(width));
      const double angle = static_cast<double>(offset + p) * rate;
      *out++ = c % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  return table.to(dtype);
}

at::Tensor rotate(const at::Tensor& x, Rotary layout, std::int64_t offset, double base) {
  if (layout == Rotary::kNone) return x;
  if (x.dim() != 4 || x.size(3) % 2 != 0) fail_usage("rotate: x must be [B,H,L,D] with even D");
  if (offset < 0 || !(base > 0) || !std::isfinite(base))
    fail_usage("rotate: offset must not be negative, base finite and positive");
  const std::int64_t length = x.size(2), half = x.size(3) / 2;
  // Angles in double: at position 100,000 a float's would be off by 0.004.
  const at::TensorOptions wide(at::kDouble);
  const at::Tensor rate =
      (at::arange(half, wide) * (-std::log(base) / static_cast<double>(half))).exp();  // [D/2]
  const at::Tensor angle =
      at::arange(offset, offset + length, wide).unsqueeze(1) * rate;  // [L,D/2]
  const at::Tensor cosine = angle.cos().to(x.options()), sine = angle.sin().to(x.options());
  const bool halves = layout == Rotary::kHalves;
  const at::Tensor pairs = halves ? x.unflatten(3, {2, half}).transpose(3, 4)
                                  : x.unflatten(3, {half, 2});  // [B,H,L,D/2,2]
  const at::Tensor a = pairs.select(4, 0), b = pairs.select(4, 1);
  const at::Tensor turned_a = a * cosine - b * sine, turned_b = a * sine + b * cosine;
  return halves ? at::cat({turned_a, turned_b}, 3)
                : at::stack({turned_a, turned_b}, 4).flatten(3, 4);
}

void SinusoidalPositionImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::SinusoidalPosition()";
}

at::Tensor SinusoidalPositionImpl::forward(const at::Tensor& input, std::int64_t offset) {
  check_positions("attend::nn::SinusoidalPosition", input, offset);
  const std::int64_t needed = offset + input.size(1), width = input.size(2);
  const bool fits = table_.defined() && table_.size(0) >= needed && table_.size(1) == width &&
                    table_.scalar_type() == input.scalar_type() &&
                    table_.device() == input.device();
  if (!fits)
    table_ = sinusoidal_positions(needed, width, 0, input.scalar_type()).to(input.device());
  return input + table_.narrow(0, offset, input.size(1));
}

LearnedPositionImpl::LearnedPositionImpl(const LearnedPositionOptions& given) : options(given) {
  reset();
}

void LearnedPositionImpl::reset() {
  if (options.max_length() < 1 || options.width() < 1)
    fail_usage("attend::nn::LearnedPosition: max_length and width must be at least 1");
  Random random(options.seed(), Purpose::kInit, 3);
  weight =
      register_parameter("weight", normal({options.max_length(), options.width()}, 0.02, random));
}

void LearnedPositionImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::LearnedPosition(" << options.max_length() << ", " << options.width() << ")";
}

at::Tensor LearnedPositionImpl::forward(const at::Tensor& input, std::int64_t offset) {
  check_positions("attend::nn::LearnedPosition", input, offset);
  if (input.size(2) != options.width() || input.size(1) > options.max_length() - offset)
    fail_usage("attend::nn::LearnedPosition: input must be [B,L,C] with C=" +
               std::to_string(options.width()) + " and offset + L at most " +
               std::to_string(options.max_length()) + "; L=" + std::to_string(input.size(1)) +
               ", C=" + std::to_string(input.size(2)) + ", offset=" + std::to_string(offset));
  return input + weight.narrow(0, offset, input.size(1));
}

}  // namespace attend::nn
