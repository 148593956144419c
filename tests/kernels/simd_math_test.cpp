// The vector mathematics of src/kernels/simd/math-inl.h against 80-bit libm, on every SIMD target
// of this CPU. It found a real bug: log of a double denormal, scaled by too small a power of two.
// No mutation has been planted yet.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd_math_test.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd/math-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

/// y[i] = f(x[i]) by vectors, the end by load_n and store_n. which: 0 exp, 1 exp2, 2 tanh, 3
/// sigmoid, 4 log, 5 expm1.
template <class T>
void apply_all(int which, const T* x, T* y, std::size_t n) {
  note_simd_target(HWY_TARGET);
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < n; i += lanes) {
    const std::size_t left = n - i < lanes ? n - i : lanes;
    const auto v = load_n(d, x + i, left);
    auto r = v;
    if (which == 0) r = exp(d, v);
    if (which == 1) r = exp2(d, v);
    if (which == 2) r = tanh(d, v);
    if (which == 3) r = sigmoid(d, v);
    if (which == 4) r = log(d, v);
    if (which == 5) r = expm1_bounded(d, v);
    store_n(r, d, y + i, left);
  }
}

void apply_float(int which, const float* x, float* y, std::size_t n) { apply_all(which, x, y, n); }
void apply_double(int which, const double* x, double* y, std::size_t n) {
  apply_all(which, x, y, n);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "attend/base/random.h"
#include "support/guard.h"
#include "support/targets.h"

namespace attend::kernels {
HWY_EXPORT(apply_float);
HWY_EXPORT(apply_double);

namespace {

enum Which { kExp, kExp2, kTanh, kSigmoid, kLog, kExpm1 };

void apply(Which f, const float* x, float* y, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(apply_float)(f, x, y, n);
}
void apply(Which f, const double* x, double* y, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(apply_double)(f, x, y, n);
}

long double exact(Which f, long double x) {
  switch (f) {
    case kExp:
      return std::exp(x);
    case kExp2:
      return std::exp2(x);
    case kTanh:
      return std::tanh(x);
    case kSigmoid:
      return 1 / (1 + std::exp(-x));
    case kLog:
      return std::log(x);
    default:
      return std::expm1(x);
  }
}

/// The largest error in units in the last place of the result, over x.
template <class T>
double worst_ulp(Which f, const std::vector<T>& x, T& where) {
  std::vector<T> y(x.size());
  apply(f, x.data(), y.data(), x.size());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double truth = exact(f, x[i]);
    if (std::abs(truth) < std::numeric_limits<T>::min() ||
        std::abs(truth) > std::numeric_limits<T>::max())
      continue;
    const int exponent = std::ilogb(static_cast<T>(truth));
    const long double ulp = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits + 1);
    const double error = static_cast<double>(std::abs(y[i] - truth) / ulp);
    if (!(error <= worst)) worst = error, where = x[i];
  }
  return worst;
}

struct Range {
  Which f;
  const char* name;
  double low, high;
  double ulp;  // what math-inl.h promises
};
constexpr Range kFloatRanges[] = {
    {kExp, "exp", -87, 88.7, 1.5}, {kExp2, "exp2", -125.9, 127.9, 1.5},
    {kTanh, "tanh", -12, 12, 3},   {kSigmoid, "sigmoid", -80, 80, 3},
    {kExpm1, "expm1", -18, 18, 2},
};
constexpr Range kDoubleRanges[] = {
    {kExp, "exp", -708, 709.7, 1.5}, {kExp2, "exp2", -1021.9, 1023.9, 1.5},
    {kTanh, "tanh", -25, 25, 3},     {kSigmoid, "sigmoid", -700, 700, 3},
    {kExpm1, "expm1", -38, 38, 2},
};

/// Uniform points, and as many whose magnitude is log-uniform from 1e-12 up.
template <class T>
std::vector<T> points(double low, double high, int n) {
  Random random(5, Purpose::kGenerate);
  std::vector<T> x;
  for (int i = 0; i < n; ++i) x.push_back(static_cast<T>(low + (high - low) * random.uniform()));
  for (int i = 0; i < n; ++i) {
    const double magnitude =
        std::exp(std::log(1e-12) + random.uniform() * (std::log(high) - std::log(1e-12)));
    x.push_back(static_cast<T>(i % 2 ? magnitude : std::max(low, -magnitude)));
  }
  return x;
}

template <class T, std::size_t N>
void check_ranges(const Range (&ranges)[N], int n) {
  test::for_each_target([&] {
    for (const Range& range : ranges) {
      T where = 0;
      const double worst = worst_ulp<T>(range.f, points<T>(range.low, range.high, n), where);
      EXPECT_LE(worst, range.ulp) << range.name << " at " << where;
      ::testing::Test::RecordProperty(std::string(range.name) + "_" + last_simd_target_name(),
                                      std::to_string(worst));
    }
    std::vector<T> x;
    Random random(6, Purpose::kGenerate);
    for (int i = 0; i < n; ++i)
      x.push_back(static_cast<T>(std::ldexp(0.5 + random.uniform(), i % 120 - 60)));
    for (int i = 0; i < n; ++i) x.push_back(static_cast<T>(0.6 + random.uniform()));
    T where = 0;
    EXPECT_LE(worst_ulp<T>(kLog, x, where), 2) << "log at " << where;
  });
}

TEST(SimdMath, FloatErrors) { check_ranges<float>(kFloatRanges, 100000); }
TEST(SimdMath, DoubleErrors) { check_ranges<double>(kDoubleRanges, 40000); }

template <class T>
T one(Which f, T x) {
  T y = 0;
  apply(f, &x, &y, 1);
  return y;
}

template <class T>
void check_edges() {
  using L = std::numeric_limits<T>;
  const T inf = L::infinity(), nan = L::quiet_NaN();
  test::for_each_target([&] {
    for (const Which f : {kExp, kExp2, kTanh, kSigmoid, kLog, kExpm1})
      EXPECT_TRUE(std::isnan(one(f, nan))) << f;
    EXPECT_EQ(one(kExp, inf), inf);
    EXPECT_EQ(one(kExp, -inf), T(0));
    EXPECT_EQ(one(kExp, T(0)), T(1));
    EXPECT_EQ(one(kExp, T(1000)), inf);
    EXPECT_EQ(one(kExp, T(-1000)), T(0));
    EXPECT_EQ(one(kExp2, inf), inf);
    EXPECT_EQ(one(kExp2, -inf), T(0));
    EXPECT_EQ(one(kExp2, T(3)), T(8));
    EXPECT_EQ(one(kTanh, inf), T(1));
    EXPECT_EQ(one(kTanh, -inf), T(-1));
    EXPECT_EQ(one(kTanh, T(0)), T(0));
    EXPECT_EQ(one(kTanh, L::max()), T(1));
    EXPECT_EQ(one(kSigmoid, inf), T(1));
    EXPECT_EQ(one(kSigmoid, -inf), T(0));
    EXPECT_EQ(one(kSigmoid, T(0)), T(0.5));
    EXPECT_EQ(one(kLog, inf), inf);
    EXPECT_EQ(one(kLog, T(0)), -inf);
    EXPECT_EQ(one(kLog, T(1)), T(0));
    EXPECT_TRUE(std::isnan(one(kLog, T(-1))));
    EXPECT_NEAR(one(kLog, L::denorm_min()), std::log(L::denorm_min()), 1e-4);
    const T big = std::log(L::max()) * T(0.9999);  // e^big is finite though 2^n alone would not be
    EXPECT_NEAR(one(kExp, big) / std::exp(big), T(1), 1e-4);
  });
}

TEST(SimdMath, FloatEdges) { check_edges<float>(); }
TEST(SimdMath, DoubleEdges) { check_edges<double>(); }

template <class T>
void check_tails() {
  test::for_each_target([&] {
    for (std::int64_t n = 0; n <= 33; ++n) {
      for (const int offset : {0, 1, 3}) {
        test::Guarded<T> x(n, offset, T(0.5)), y(n, offset);
        apply(kExp, x.data(), y.data(), static_cast<std::size_t>(n));
        for (std::int64_t i = 0; i < n; ++i)
          ASSERT_NEAR(y[i], std::exp(0.5), 1e-6) << "n " << n << ", element " << i;
        ASSERT_TRUE(y.intact()) << "wrote outside at n " << n;
      }
    }
    apply(kExp, static_cast<const T*>(nullptr), static_cast<T*>(nullptr), 0);
  });
}

TEST(SimdMath, FloatTailsTouchNothingElse) { check_tails<float>(); }
TEST(SimdMath, DoubleTailsTouchNothingElse) { check_tails<double>(); }

}  // namespace
}  // namespace attend::kernels
#endif  // HWY_ONCE
