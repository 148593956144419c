// attend::filterbank_read and filterbank_write against their compositions and against themselves.
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/filterbank.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;
using Read = decltype(&filterbank_read);
using Write = decltype(&filterbank_write);

struct Case {
  std::int64_t batch, channels, height, width, filters;
  double spread = 0.6;  // of the windows' numbers
};

const Case kCases[] = {
    {1, 1, 1, 1, 1},   {3, 2, 5, 7, 2},     {2, 1, 17, 15, 3},       {2, 3, 16, 33, 8},
    {5, 2, 28, 28, 5}, {17, 1, 28, 28, 12}, {3, 1, 28, 28, 12, 2.5},  // windows that leave the image, wide and narrow
};

struct Inputs {
  at::Tensor image, patch, window;
  std::int64_t n, height, width;
  Inputs to(at::ScalarType dtype) const {
    return {image.to(dtype), patch.to(dtype), window.to(dtype), n, height, width};
  }
};

Inputs make(const Case& c, std::uint64_t seed = 1) {
  // Values that float holds exactly, so that double and float see the same problem.
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kFloat).to(at::kDouble); };
  return {rounded(random_tensor({c.batch, c.channels, c.height, c.width}, seed)),
          rounded(random_tensor({c.batch, c.channels, c.filters, c.filters}, seed + 1)),
          rounded(random_tensor({c.batch, 5}, seed + 2, c.spread)),
          c.filters,
          c.height,
          c.width};
}

/// (output, gradient of image or patch, gradient of window) for a cotangent that depends on the shapes only.
Tensors differentiate(const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& f,
                      const at::Tensor& first, const at::Tensor& window) {
  const at::Tensor a = first.detach().set_requires_grad(true),
                   w = window.detach().set_requires_grad(true);
  const at::Tensor output = f(a, w);
  const auto grads = torch::autograd::grad(
      {output}, {a, w}, {random_tensor(output.sizes(), 11, 1, first.scalar_type())});
  return {output.detach(), grads[0], grads[1]};
}
Tensors run(Read f, const Inputs& in) {
  return differentiate([&](const at::Tensor& a, const at::Tensor& w) { return f(a, w, in.n); },
                       in.image, in.window);
}
Tensors run(Write f, const Inputs& in) {
  return differentiate(
      [&](const at::Tensor& a, const at::Tensor& w) { return f(a, w, in.height, in.width); },
      in.patch, in.window);
}

const char* const kNames[] = {"output", "gradient of the first", "gradient of the window"};

/// check(ours, composed, name) for read and for write.
template <class F>
void for_both(F check) {
  {
    SCOPED_TRACE("read");
    check(&filterbank_read, &compose::filterbank_read, "attend::filterbank_read");
  }
  SCOPED_TRACE("write");
  check(&filterbank_write, &compose::filterbank_write, "attend::filterbank_write");
}

TEST(Filterbank, AsGoodAsTheCompositionForwardAndBackward) {
  for_both([](auto ours, auto composed, const char* name) {
    for (const Case& c : kCases) {
      for (const auto dtype : {at::kFloat, at::kDouble}) {
        SCOPED_TRACE(::testing::Message() << "B " << c.batch << " " << c.height << " x " << c.width
                                          << " N " << c.filters << " " << dtype);
        const Inputs in = make(c);
        const Tensors now = run(ours, in.to(dtype));
        EXPECT_EQ(last_dispatch().path, Path::kFused);
        EXPECT_EQ(last_dispatch().op, std::string(name) + "_backward");
        const Tensors theirs = run(composed, in.to(at::kFloat)), truth = run(composed, in);
        for (std::size_t i = 0; i < now.size(); ++i) {
          ASSERT_EQ(now[i].scalar_type(), dtype);
          EXPECT_TRUE(as_good_as(now[i], theirs[i], truth[i])) << kNames[i];
        }
      }
    }
  });
}

TEST(Filterbank, GradientsAreCentralDifferences) {
  for (const Case& c : {Case{2, 2, 4, 5, 3}, Case{1, 1, 3, 3, 1}, Case{2, 1, 5, 4, 2, 1.5}}) {
    const Inputs in = make(c, 3);
    for (const Read f : {&filterbank_read, &compose::filterbank_read})
      test::expect_gradients([&](const Tensors& x) { return Tensors{f(x[0], x[1], in.n)}; },
                             {{"image", in.image}, {"window", in.window}});
    for (const Write f : {&filterbank_write, &compose::filterbank_write})
      test::expect_gradients(
          [&](const Tensors& x) { return Tensors{f(x[0], x[1], in.height, in.width)}; },
          {{"patch", in.patch}, {"window", in.window}});
  }
}

TEST(Filterbank, SecondDerivativesAreCentralDifferences) {
  const Inputs in = make({2, 1, 4, 3, 2}, 4);
  const auto gradients_of = [](const std::function<at::Tensor(const Tensors&)>& f) {
    return [f](const Tensors& x) {
      Tensors leaves;
      for (const at::Tensor& t : x)
        leaves.push_back(t.requires_grad() ? t : t.detach().set_requires_grad(true));
      const at::AutoGradMode on(true);
      const at::Tensor out = f(leaves);
      return torch::autograd::grad({out}, leaves, {random_tensor(out.sizes(), 8)}, true, true);
    };
  };
  test::expect_gradients(
      gradients_of([&](const Tensors& x) { return filterbank_read(x[0], x[1], in.n); }),
      {{"image", in.image}, {"window", in.window}});
  test::expect_gradients(gradients_of([&](const Tensors& x) {
                           return filterbank_write(x[0], x[1], in.height, in.width);
                         }),
                         {{"patch", in.patch}, {"window", in.window}});
}

TEST(Filterbank, WorkedExample) {
  // docs/mechanisms/filterbank.md works this out by hand.
  const at::Tensor image =
      at::tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0}, at::kDouble).view({1, 1, 3, 3});
  const at::Tensor window =
      at::tensor({0.0, 0.0, 0.0, -std::log(2.0), 0.0}, at::kDouble).view({1, 5});
  const at::Tensor patch = filterbank_read(image, window, 2);
  const at::Tensor wanted =
      at::tensor({3.932174, 4.466087, 5.533913, 6.067826}, at::kDouble).view({1, 1, 2, 2});
  EXPECT_TRUE(at::allclose(patch, wanted, 0, 1e-6)) << patch;
  const FilterbankWindow w = filterbank_window(window, 2, 3, 3);
  EXPECT_EQ(w.centre_x.item<double>(), 1);
  EXPECT_EQ(w.centre_y.item<double>(), 1);
  EXPECT_EQ(w.sigma.item<double>(), 1);
  EXPECT_NEAR(w.stride.item<double>(), 1, 1e-15);
  EXPECT_EQ(w.intensity.item<double>(), 1);
}

TEST(Filterbank, StridedIsContiguousBitForBit) {
  const Inputs in = make({4, 3, 9, 20, 5}).to(at::kFloat);
  const Tensors read = run(&filterbank_read, in), written = run(&filterbank_write, in);
  const auto expect_same = [&](const Inputs& other) {
    ASSERT_FALSE(other.image.is_contiguous() && other.patch.is_contiguous());
    const Tensors r = run(&filterbank_read, other), w = run(&filterbank_write, other);
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_TRUE(same_bits(r[i], read[i]) && same_bits(w[i], written[i])) << kNames[i];
  };
  Inputs other = in;
  other.image =
      in.image.permute({3, 1, 0, 2}).contiguous().permute({2, 1, 3, 0});  // columns not innermost
  other.patch = in.patch.transpose(2, 3).contiguous().transpose(2, 3);
  other.window = in.window.t().contiguous().t();
  expect_same(other);
  const at::Tensor wide = at::full({4, 3, 9, 27}, std::numeric_limits<float>::quiet_NaN());
  wide.slice(3, 1, 21).copy_(in.image);  // a part of a larger picture, one element off
  other.image = wide.slice(3, 1, 21);
  expect_same(other);
  // A cotangent with strides: that of a sum is expanded from one number.
  const at::Tensor patch = in.patch.clone().set_requires_grad(true),
                   copy = in.patch.clone().set_requires_grad(true);
  const at::Tensor sum = filterbank_write(patch, in.window, 9, 20).sum();
  const at::Tensor output = filterbank_write(copy, in.window, 9, 20);
  EXPECT_TRUE(same_bits(torch::autograd::grad({sum}, {patch})[0],
                        torch::autograd::grad({output}, {copy}, {at::ones_like(output)})[0]));
}

TEST(Filterbank, AConstantImageComesBackAsItIsWhereverTheWindow) {
  for (const double spread : {0.5, 3.0, 50.0}) {
    Inputs in = make({20, 1, 28, 20, 7, spread});
    in.window.select(1, 4).fill_(0);  // γ = 1
    const at::Tensor patch = filterbank_read(at::full_like(in.image, 3), in.window, in.n);
    EXPECT_LE(test::relative_error(patch, at::full_like(patch, 3)), 1e-14);
  }
}

TEST(Filterbank, WriteIsTheAdjointOfRead) {
  Inputs in = make({6, 2, 14, 11, 4});
  in.window.select(1, 4).fill_(0);
  const at::Tensor left = (filterbank_read(in.image, in.window, in.n) * in.patch).sum();
  const at::Tensor right =
      (in.image * filterbank_write(in.patch, in.window, in.height, in.width)).sum();
  EXPECT_NEAR(left.item<double>(), right.item<double>(), 1e-12);
}

TEST(Filterbank, ATransposedImageGivesATransposedPatch) {
  const Inputs in = make({3, 2, 12, 9, 4});
  const at::Tensor swapped =
      at::cat({in.window.slice(1, 1, 2), in.window.slice(1, 0, 1), in.window.slice(1, 2, 5)}, 1);
  EXPECT_LE(test::relative_error(filterbank_read(in.image.transpose(2, 3), swapped, in.n),
                                 filterbank_read(in.image, in.window, in.n).transpose(2, 3)),
            1e-14);
}

TEST(Filterbank, ATinyWidthTakesThePixelsThemselves) {
  const Inputs in = make({1, 1, 5, 5, 5});
  const at::Tensor window = at::tensor({0.0, 0.0, -1000.0, 0.0, 0.0}, at::kDouble)
                                .view({1, 5});  // a filter on every pixel
  EXPECT_TRUE(at::equal(filterbank_read(in.image, window, 5), in.image));
  EXPECT_TRUE(at::equal(filterbank_write(in.image, window, 5, 5), in.image));
}

TEST(Filterbank, ExtremeWindowsAreNumbersAndTheCompositionAgrees) {
  for_both([](auto ours, auto composed, const char*) {
    for (const auto dtype : {at::kFloat, at::kDouble})
      for (int which = 0; which < 5; ++which)
        for (const double value : {-1e30, -1e4, -60.0, -29.0, 29.0, 60.0, 1e4, 1e30}) {
          SCOPED_TRACE(::testing::Message()
                       << "number " << which << " is " << value << " " << dtype);
          Inputs in = make({2, 1, 28, 20, 3}).to(dtype);
          in.window.select(1, which).fill_(value);
          const Tensors now = run(ours, in), truth = run(composed, in);
          for (std::size_t i = 0; i < now.size(); ++i) {
            EXPECT_TRUE(at::isfinite(now[i]).all().template item<bool>()) << kNames[i];
            EXPECT_TRUE(at::isfinite(truth[i]).all().template item<bool>())
                << kNames[i] << " composed";
          }
          EXPECT_LE(test::relative_error(now[0], truth[0]), dtype == at::kFloat ? 1e-4 : 1e-12);
        }
  });
}

TEST(Filterbank, NumbersBeyondTheLimitGetNoGradient) {
  Inputs in = make({1, 1, 8, 8, 3});
  in.window.copy_(at::tensor({2e4, 0.1, 31.0, -31.0, 0.2}, at::kDouble).view({1, 5}));
  for_both([&](auto ours, auto, const char*) {
    const at::Tensor g = run(ours, in)[2][0];
    for (const int i : {0, 2, 3}) EXPECT_EQ(g[i].template item<double>(), 0) << i;
    EXPECT_NE(g[4].template item<double>(), 0);
  });
}

TEST(Filterbank, NaNStaysInItsRow) {
  for_both([](auto ours, auto, const char*) {
    Inputs in = make({3, 1, 6, 7, 2});
    in.image[1][0][2][3] = std::numeric_limits<double>::quiet_NaN();
    in.patch[1][0][1][0] = std::numeric_limits<double>::quiet_NaN();
    const Tensors now = run(ours, in);
    for (const int b : {0, 2})
      for (const at::Tensor& t : now) EXPECT_TRUE(at::isfinite(t[b]).all().template item<bool>());
    EXPECT_FALSE(at::isfinite(now[0][1]).all().template item<bool>());
  });
}

TEST(Filterbank, NothingToDo) {
  for (const Case& c : {Case{0, 2, 4, 4, 2}, Case{2, 0, 4, 4, 2}}) {
    const Inputs in = make(c);
    for_both([&](auto ours, auto composed, const char*) {
      const Tensors a = run(ours, in), b = run(composed, in);
      for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << kNames[i];
    });
  }
}

TEST(Filterbank, EveryTargetAgreesThroughTheOps) {
  const Inputs in = make({5, 2, 28, 27, 6});
  for_both([&](auto ours, auto composed, const char*) {
    const Tensors truth = run(composed, in), theirs = run(composed, in.to(at::kFloat));
    test::for_each_target([&] {
      const test::WithThreads one(1);
      const Tensors now = run(ours, in.to(at::kFloat));
      EXPECT_STREQ(last_dispatch().target, kernels::last_simd_target_name());
      for (std::size_t i = 0; i < now.size(); ++i)
        EXPECT_TRUE(as_good_as(now[i], theirs[i], truth[i])) << kNames[i];
    });
  });
}

TEST(Filterbank, TheSameBitsOnEveryRunAndNumberOfThreads) {
  const Inputs in = make({70, 2, 28, 28, 5}).to(at::kFloat);
  for_both([&](auto ours, auto, const char*) {
    Tensors first;
    for (const int n : {1, 2, 3, 2}) {
      const test::WithThreads with(n);
      const Tensors now = run(ours, in);
      if (first.empty()) first = now;
      for (std::size_t i = 0; i < now.size(); ++i)
        EXPECT_TRUE(same_bits(now[i], first[i])) << kNames[i] << ", threads " << n;
    }
  });
}

TEST(Filterbank, OtherDtypesRunTheComposition) {
  const Inputs in = make({2, 1, 6, 6, 3});
  for_both([&](auto ours, auto composed, const char*) {
    const Tensors now = run(ours, in.to(at::kBFloat16));
    EXPECT_EQ(last_dispatch().path, Path::kComposed);
    EXPECT_STREQ(last_dispatch().reason, "dtype is not float or double");
    EXPECT_LE(test::relative_error(now[0], run(composed, in)[0]), 0.05);
  });
}

TEST(Filterbank, OnlyWhatWasAskedForGetsAGradient) {
  const Inputs in = make({2, 1, 6, 5, 3});
  const Tensors read = run(&compose::filterbank_read, in),
                written = run(&compose::filterbank_write, in);
  for (const int which : {0, 1}) {
    Tensors r{in.image.clone(), in.window.clone()}, w{in.patch.clone(), in.window.clone()};
    const auto at = static_cast<std::size_t>(which);
    r[at].set_requires_grad(true), w[at].set_requires_grad(true);
    const at::Tensor patch = filterbank_read(r[0], r[1], 3),
                     image = filterbank_write(w[0], w[1], 6, 5);
    patch.backward(random_tensor(patch.sizes(), 11)),
        image.backward(random_tensor(image.sizes(), 11));
    EXPECT_FALSE(r[1 - at].grad().defined() || w[1 - at].grad().defined());
    EXPECT_LE(test::relative_error(r[at].grad(), read[at + 1]), 1e-13);
    EXPECT_LE(test::relative_error(w[at].grad(), written[at + 1]), 1e-13);
  }
  EXPECT_FALSE(filterbank_read(in.image, in.window, 3).requires_grad());
}

void expect_message(const std::function<void()>& act, const std::string& message) {
  try {
    act();
    ADD_FAILURE() << "no error; wanted: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Filterbank, EveryCheckSaysWhatIsWrong) {
  const auto zeros = [](at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
    return at::zeros(sizes, at::TensorOptions(dtype));
  };
  const at::Tensor image = zeros({2, 1, 4, 3}), window = zeros({2, 5}), patch = zeros({2, 1, 3, 3});
  for (const Read f : {&filterbank_read, &compose::filterbank_read}) {
    expect_message([&] { f({}, window, 2); },
                   "attend::filterbank_read: image is undefined but must be [B, C, height, width]");
    expect_message([&] { f(image, {}, 2); },
                   "attend::filterbank_read: window is undefined but must be [B, 5]");
    expect_message(
        [&] {
          f(zeros({2, 4, 3}), window, 2);
        },
        "attend::filterbank_read: image must be [B, C, height, width] but has shape [2, 4, 3]");
    expect_message(
        [&] {
          f(image, zeros({3, 5}), 2);
        },
        "attend::filterbank_read: window has B=3 (shape [3, 5]) but image set B=2");
    expect_message(
        [&] {
          f(image, zeros({2, 4}), 2);
        },
        "attend::filterbank_read: window has shape [2, 4] where a dimension must be 5");
    expect_message(
        [&] {
          f(image, zeros({2, 5}, at::kDouble), 2);
        },
        "attend::filterbank_read: window has dtype Double but image has Float");
    expect_message([&] { f(image, window, 0); },
                   "attend::filterbank_read: n is 0 but must be at least 1");
    expect_message(
        [&] {
          f(zeros({2, 1, 0, 3}), window, 2);
        },
        "attend::filterbank_read: height is 0 but must be at least 1");
    expect_message(
        [&] {
          f(zeros({2, 1, 3, 0}), window, 2);
        },
        "attend::filterbank_read: width is 0 but must be at least 1");
  }
  for (const Write f : {&filterbank_write, &compose::filterbank_write}) {
    expect_message([&] { f({}, window, 4, 4); },
                   "attend::filterbank_write: patch is undefined but must be [B, C, N, N]");
    expect_message(
        [&] {
          f(zeros({2, 1, 3, 2}), window, 4, 4);
        },
        "attend::filterbank_write: patch has N=2 (shape [2, 1, 3, 2]) but patch set N=3");
    expect_message(
        [&] {
          f(zeros({2, 1, 0, 0}), window, 4, 4);
        },
        "attend::filterbank_write: N is 0 but must be at least 1");
    expect_message([&] { f(patch, window, 0, 4); },
                   "attend::filterbank_write: height is 0 but must be at least 1");
    expect_message([&] { f(patch, window, 4, -2); },
                   "attend::filterbank_write: width is -2 but must be at least 1");
  }
  expect_message([&] { filterbank_window(window, 0, 3, 3); },
                 "attend::filterbank_window: n is 0 but must be at least 1");
}

}  // namespace
}  // namespace attend
