#include "ops/shape_check.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "attend/base/error.h"

namespace attend {
namespace {

std::string shape_of(const at::Tensor& t) {
  std::ostringstream out;
  out << t.sizes();
  return out.str();
}

std::string join(ShapeCheck::Letters letters) {
  std::string out;
  for (const char* l : letters) out += (out.empty() ? "" : ", ") + std::string(l);
  return "[" + out + "]";
}

}  // namespace

void ShapeCheck::fail(const std::string& rest) const { fail_usage(std::string(op_) + ": " + rest); }

const ShapeCheck::Binding* ShapeCheck::find(const char* letter) const {
  for (std::size_t i = 0; i < bound_; ++i)
    if (std::strcmp(bindings_[i].letter, letter) == 0) return &bindings_[i];
  return nullptr;
}

std::int64_t ShapeCheck::size(const char* letter) const {
  const Binding* b = find(letter);
  if (!b) fail("no argument sets " + std::string(letter));
  return b->size;
}

void ShapeCheck::dimension(const char* name, const at::Tensor& t, const char* letter,
                           std::int64_t actual) {
  char* rest = nullptr;
  const std::int64_t factor =
      std::strtoll(letter, &rest, 10);  // "4H": 4, rest "H"; "H": 0, rest "H"
  const auto has = [&] {
    return std::string(name) + " has " + letter + "=" + std::to_string(actual) + " (shape " +
           shape_of(t) + ")";
  };
  if (rest != letter && *rest == '\0') {
    if (actual != factor)
      fail(std::string(name) + " has shape " + shape_of(t) + " where a dimension must be " +
           letter);
    return;
  }
  const std::int64_t times = rest == letter ? 1 : factor;
  if (const Binding* b = find(rest)) {
    if (actual == times * b->size) return;
    const std::string wanted =
        times == 1 ? "" : ", so " + std::string(letter) + "=" + std::to_string(times * b->size);
    fail(has() + " but " + b->by + " set " + rest + "=" + std::to_string(b->size) + wanted);
  }
  if (actual % times != 0) fail(has() + ", which is not a multiple of " + std::to_string(times));
  if (bound_ == bindings_.size()) fail("too many letters");
  bindings_[bound_++] = {rest, name, actual / times};
}

void ShapeCheck::shape(const char* name, const at::Tensor& t, Letters letters) {
  if (t.dim() != static_cast<std::int64_t>(letters.size()))
    fail(std::string(name) + " must be " + join(letters) + " but has shape " + shape_of(t));
  std::int64_t i = 0;
  for (const char* letter : letters) dimension(name, t, letter, t.size(i++));
}

void ShapeCheck::like_first(const char* name, const at::Tensor& t) {
  if (!at::isFloatingType(t.scalar_type()))
    fail(std::string(name) + " has dtype " + c10::toString(t.scalar_type()) +
         " but must be floating point");
  if (!first_name_) {
    first_name_ = name;
    first_dtype_ = t.scalar_type();
    first_device_ = t.device();
    return;
  }
  if (t.scalar_type() != first_dtype_)
    fail(std::string(name) + " has dtype " + c10::toString(t.scalar_type()) + " but " +
         first_name_ + " has " + c10::toString(first_dtype_));
  if (t.device() != first_device_)
    fail(std::string(name) + " is on " + t.device().str() + " but " + first_name_ + " is on " +
         first_device_.str());
}

ShapeCheck& ShapeCheck::operator()(const char* name, const at::Tensor& t, Letters letters) {
  if (!t.defined()) fail(std::string(name) + " is undefined but must be " + join(letters));
  like_first(name, t);
  shape(name, t, letters);
  return *this;
}

ShapeCheck& ShapeCheck::optional(const char* name, const at::Tensor& t, Letters letters) {
  return t.defined() ? (*this)(name, t, letters) : *this;
}

ShapeCheck& ShapeCheck::index(const char* name, const at::Tensor& t, Letters letters) {
  if (!t.defined()) return *this;
  if (t.scalar_type() != at::kLong)
    fail(std::string(name) + " has dtype " + c10::toString(t.scalar_type()) + " but must be int64");
  if (first_name_ && t.device() != first_device_)
    fail(std::string(name) + " is on " + t.device().str() + " but " + first_name_ + " is on " +
         first_device_.str());
  shape(name, t, letters);
  return *this;
}

ShapeCheck& ShapeCheck::lengths(const char* name, const at::Tensor& t, const char* limit) {
  if (!t.defined()) return *this;
  index(name, t, {"B"});
  if (!t.device().is_cpu() || t.unsafeGetTensorImpl()->is_python_dispatch())
    return *this;  // no values to read
  const std::int64_t high = size(limit), stride = t.stride(0), n = t.size(0);
  const auto* values = t.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t v = values[i * stride];
    if (v < 0 || v > high)
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(v) +
           " but must be in [0, " + limit + "=" + std::to_string(high) + "]");
  }
  return *this;
}

ShapeCheck& ShapeCheck::finite(const char* name, double x) {
  if (!std::isfinite(x))
    fail(std::string(name) + " is " + std::to_string(x) + " but must be finite");
  return *this;
}

ShapeCheck& ShapeCheck::non_negative(const char* name, double x) {
  finite(name, x);
  if (x < 0) fail(std::string(name) + " is " + std::to_string(x) + " but must not be negative");
  return *this;
}

ShapeCheck& ShapeCheck::probability(const char* name, double x) {
  if (!(x >= 0 && x < 1))
    fail(std::string(name) + " is " + std::to_string(x) + " but must be in [0, 1)");
  return *this;
}

ShapeCheck& ShapeCheck::at_least(const char* name, std::int64_t x, std::int64_t low) {
  if (x < low)
    fail(std::string(name) + " is " + std::to_string(x) + " but must be at least " +
         std::to_string(low));
  return *this;
}

ShapeCheck& ShapeCheck::countable(const char* result, Letters letters) {
  constexpr std::int64_t most = std::int64_t{1}
                                << 59;  // times 8 bytes, and a factor for kernels to reckon with
  std::int64_t product = 1;
  for (const char* letter : letters)
    if (size(letter) == 0) return *this;
  for (const char* letter : letters) {
    if (product > most / size(letter)) {
      std::string sizes;
      for (const char* l : letters)
        sizes += (sizes.empty() ? "" : ", ") + std::string(l) + "=" + std::to_string(size(l));
      fail(std::string(result) + " would be " + join(letters) + " with " + sizes +
           ", more elements than can be counted");
    }
    product *= size(letter);
  }
  return *this;
}

void ShapeCheck::unsupported(const char* reason) const {
  fail(std::string("not supported: ") + reason);
}

bool has_symbolic_sizes(std::initializer_list<const at::Tensor*> tensors) {
  for (const at::Tensor* t : tensors)
    if (t->defined() && t->unsafeGetTensorImpl()->has_symbolic_sizes_strides()) return true;
  return false;
}

at::Tensor with_unit_last_stride(const at::Tensor& t) {
  if (t.dim() == 0 || t.size(-1) <= 1 || t.stride(-1) == 1) return t;
  return t.contiguous();
}

at::Tensor contiguous_or_undefined(const at::Tensor& t) { return t.defined() ? t.contiguous() : t; }

}  // namespace attend
