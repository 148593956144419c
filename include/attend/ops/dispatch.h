#pragma once

namespace attend {

/// Which code an op ran. kComposed is the plain ATen definition in attend::compose.
enum class Path { kNone, kFused, kComposed };

/// What the last attend op of this thread did, forward or backward. The strings live as long as the
/// program.
struct Dispatch {
  const char* op = "";  ///< "attend::pool", "attend::pool_backward", …
  Path path = Path::kNone;
  const char* target = "";  ///< fused: the SIMD target that ran ("AVX3", "AVX2", "SSE4", "EMU128")
  /// Composed: why the fused path was not taken ("dtype is not float or double", …); fused: a remark ("bfloat16 is
  /// computed in float"), else empty.
  const char* reason = "";
};

/// For tests, benchmarks and the curious: proves that a call took the fast path, or says why it did
/// not. Thread-local.
Dispatch last_dispatch();

}  // namespace attend
