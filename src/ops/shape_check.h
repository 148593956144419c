#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace attend {

/// Checks an op's arguments with the text that documents them:
///
///   ShapeCheck n("attend::sdpa");
///   n("q", q, {"B", "H", "Lq", "D"})("k", k, {"B", "Hkv", "Lk", "D"});
///   // error: attend::sdpa: k has D=16 (shape [2, 2, 5, 16]) but q set D=8
///
/// A letter is bound by its first use. "4H" is four times H; "3" is the number itself. Every tensor
/// given to operator() must have the floating dtype and the device of the first. Throws
/// Error(kUsage), one line that names op, argument, shape and rule. `op`, names and letters must be
/// string literals (they are kept by pointer); no allocation unless something is wrong.
class ShapeCheck {
 public:
  using Letters = std::initializer_list<const char*>;

  explicit ShapeCheck(const char* op) : op_(op) {}

  /// A required floating tensor.
  ShapeCheck& operator()(const char* name, const at::Tensor& t, Letters letters);
  /// The same; an undefined tensor passes.
  ShapeCheck& optional(const char* name, const at::Tensor& t, Letters letters);
  /// An int64 tensor (ids, labels), on the device of the first tensor if one was given; undefined
  /// passes.
  ShapeCheck& index(const char* name, const at::Tensor& t, Letters letters);
  /// index of shape [B] with every value in [0, size(limit)]; on the CPU only (elsewhere the values
  /// are not read).
  ShapeCheck& lengths(const char* name, const at::Tensor& t, const char* limit);

  ShapeCheck& finite(const char* name, double x);        ///< neither NaN nor infinite
  ShapeCheck& non_negative(const char* name, double x);  ///< finite and ≥ 0
  ShapeCheck& probability(const char* name, double x);   ///< in [0, 1): a dropout rate
  ShapeCheck& at_least(const char* name, std::int64_t x, std::int64_t low);

  /// The product of these letters' sizes, the elements of a result, must leave room for counting bytes in int64.
  ShapeCheck& countable(const char* result, Letters letters);

  /// Throws: this op has no kernel for its arguments, and why.
  [[noreturn]] void unsupported(const char* reason) const;

  /// The size a letter was bound to.
  std::int64_t size(const char* letter) const;

 private:
  struct Binding {
    const char* letter;
    const char* by;
    std::int64_t size;
  };

  void shape(const char* name, const at::Tensor& t, Letters letters);
  void dimension(const char* name, const at::Tensor& t, const char* letter, std::int64_t actual);
  void like_first(const char* name, const at::Tensor& t);
  const Binding* find(const char* letter) const;
  [[noreturn]] void fail(const std::string& rest) const;

  const char* op_;
  const char* first_name_ = nullptr;
  at::ScalarType first_dtype_ = at::ScalarType::Undefined;
  at::Device first_device_ = at::kCPU;
  std::array<Binding, 12> bindings_{};
  std::size_t bound_ = 0;
};

/// While torch traces with sizes that are not known yet: nothing can be checked then.
bool has_symbolic_sizes(std::initializer_list<const at::Tensor*> tensors);

/// t itself when its last dimension has stride 1 (or at most one element), else a contiguous copy.
/// Kernels take any other stride.
at::Tensor with_unit_last_stride(const at::Tensor& t);

/// t itself when contiguous, else a contiguous copy; undefined stays undefined.
at::Tensor contiguous_or_undefined(const at::Tensor& t);

}  // namespace attend
