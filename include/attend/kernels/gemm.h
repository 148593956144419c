#pragma once
#include <cstdint>

namespace attend::kernels {

/// What gemm does to each element of the finished product.
enum class GemmFinish {
  kNone,
  kRelu,
};

/// c[m][n] = finish(Σ_k a(m,k) · b(k,n) + bias[n]) on plain memory, any of the two factors transposed:
///   a(m,k) = a[m · a_row + k · a_depth],  b(k,n) = b[k · b_depth + n · b_column],  c[m][n] at c[m · c_row + n]
/// Of each factor one of the two strides should be 1 (it is packed along it). c overlaps neither factor.
/// Every element adds its products in ascending k, in stretches whose length depends on `depth` alone, so the bits depend
/// neither on the number of threads nor on how the work is cut. depth 0 gives finish(bias). NaN and infinity behave as in
/// the formula. Thread-safe, no allocation: `workspace` holds gemm_workspace(p) elements, 64-byte aligned, contents irrelevant.
/// Cost: 2 · rows · columns · depth operations; each factor is copied once. T is float or double.
template <class T>
struct Gemm {
  std::int64_t rows = 0, columns = 0, depth = 0;
  const T* a = nullptr;
  std::int64_t a_row = 0, a_depth = 1;
  const T* b = nullptr;
  std::int64_t b_depth = 0, b_column = 1;
  T* c = nullptr;
  std::int64_t c_row = 0;
  const T* bias = nullptr;  // [columns], or null
  GemmFinish finish = GemmFinish::kNone;
  const T* packed =
      nullptr;  // gemm_pack of the same b, columns and depth, or null: b is packed here
  T* workspace = nullptr;
};
template <class T>
void gemm(const Gemm<T>& p);

/// Lays b out as the product reads it, for many products with the same b: `packed` holds gemm_packed_size(p) elements,
/// 64-byte aligned. Only b, columns and depth of p are used. The layout is the running SIMD target's.
template <class T>
void gemm_pack(const Gemm<T>& p, T* packed);
template <class T>
std::int64_t gemm_packed_size(const Gemm<T>& p);

/// Elements of workspace that gemm needs for these sizes.
template <class T>
std::int64_t gemm_workspace(const Gemm<T>& p);

}  // namespace attend::kernels
