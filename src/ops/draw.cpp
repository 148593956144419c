#include "ops/draw.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/dispatch.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kDraw = "attend::draw";
constexpr std::size_t kDrawTapeTensors = 10;

bool wants_gradient(const TensorList& weights) {
  if (!at::GradMode::is_enabled()) return false;
  return std::any_of(weights.begin(), weights.end(),
                     [](const at::Tensor& w) { return w.requires_grad(); });
}

const char* why_draw_composed(const at::Tensor& image, const at::Tensor& noise,
                              const TensorList& weights) {
  if (const char* reason = why_not_fused({&noise, &weights.front()})) return reason;
  if (must_differentiate({image, noise})) return "image or noise ask for a gradient";
  if (!image.defined() && wants_gradient(weights)) return "a sample's gradient is asked for";
  return nullptr;
}

struct DrawFunction : torch::autograd::Function<DrawFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& image,
                               const at::Tensor& noise, at::TensorList weights,
                               const DrawOptions& options) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    const DrawForward f = draw_fused(image, noise, draw_weights(weights), options, /*keep=*/true);
    TensorList saved{image, noise};
    saved.insert(saved.end(), weights.begin(), weights.end());
    const TensorList tape = f.tape.list();
    saved.insert(saved.end(), tape.begin(), tape.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["attention"] = options.attention;
    ctx->saved_data["read_size"] = options.read_size;
    ctx->saved_data["write_size"] = options.write_size;
    ctx->saved_data["sigmoid"] = options.mean == DrawMean::kSigmoid;
    return {f.result.canvas, f.result.mean, f.result.log_sigma};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    DrawOptions options;
    options.attention = ctx->saved_data["attention"].toBool();
    options.read_size = ctx->saved_data["read_size"].toInt();
    options.write_size = ctx->saved_data["write_size"].toInt();
    options.mean = ctx->saved_data["sigmoid"].toBool() ? DrawMean::kSigmoid : DrawMean::kCanvas;
    const at::Tensor &image = saved[0], &noise = saved[1];
    const TensorList weights(saved.begin() + 2, saved.begin() + 2 + kDrawWeights);
    TensorList found;
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      found = gradients_by_recomposing(weights, grads, [&](const TensorList& in) {
        const DrawResult r = compose::draw(image, noise, draw_weights(in), options);
        return TensorList{r.canvas, r.mean, r.log_sigma};
      });
    } else {
      const at::TensorList rest(saved);
      found = draw_backward({grads[0], grads[1], grads[2]}, image, noise, draw_weights(weights),
                            options, DrawTape::of(rest.slice(2 + kDrawWeights)));
      note_fused("attend::draw_backward");
    }
    variable_list out(2);  // of image and noise
    out.insert(out.end(), found.begin(), found.end());
    out.emplace_back();  // of the options
    return out;
  }
};

}  // namespace

TensorList draw_list(const DrawWeights& w) {
  return {w.canvas,     w.encoder_hidden, w.encoder_cell, w.decoder_hidden, w.decoder_cell,
          w.encoder_ih, w.encoder_hh,     w.encoder_bias, w.latent,         w.latent_bias,
          w.decoder_ih, w.decoder_hh,     w.decoder_bias, w.write,          w.write_bias};
}

DrawWeights draw_weights(at::TensorList l) {
  return {l[0], l[1], l[2],  l[3],  l[4],  l[5],  l[6], l[7],
          l[8], l[9], l[10], l[11], l[12], l[13], l[14]};
}

TensorList DrawTape::list() const {
  TensorList out{images,        reads,         states,  encoder_cells, decoder_cells,
                 encoder_gates, decoder_gates, latents, codes,         heads};
  out.insert(out.end(), read_kept.begin(), read_kept.end());
  out.insert(out.end(), write_kept.begin(), write_kept.end());
  return out;
}

DrawTape DrawTape::of(at::TensorList l) {
  DrawTape out{l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8], l[9], {}, {}};
  const std::size_t kept = (l.size() - kDrawTapeTensors) / 2;
  out.read_kept = l.slice(kDrawTapeTensors, kept).vec();
  out.write_kept = l.slice(kDrawTapeTensors + kept, kept).vec();
  return out;
}

DrawShape check_draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                     const DrawOptions& o) {
  ShapeCheck n(kDraw);
  n("noise", noise, {"T", "B", "Z"})("canvas", w.canvas, {"C", "height", "width"});
  n.optional("image", image, {"B", "C", "height", "width"});
  n("encoder_hidden", w.encoder_hidden, {"He"})("encoder_cell", w.encoder_cell, {"He"});
  n("decoder_hidden", w.decoder_hidden, {"Hd"})("decoder_cell", w.decoder_cell, {"Hd"});
  n("encoder_hh", w.encoder_hh, {"4He", "He"})("encoder_bias", w.encoder_bias, {"4He"});
  n("encoder_ih", w.encoder_ih, {"4He", "R+Hd"});
  n("latent", w.latent, {"2Z", "He"})("latent_bias", w.latent_bias, {"2Z"});
  n("decoder_ih", w.decoder_ih, {"4Hd", "Z"})("decoder_hh", w.decoder_hh, {"4Hd", "Hd"});
  n("decoder_bias", w.decoder_bias, {"4Hd"});
  if (o.attention) n.at_least("read_size", o.read_size, 1).at_least("write_size", o.write_size, 1);
  DrawShape s;
  s.steps = n.size("T"), s.batch = n.size("B"), s.latent = n.size("Z");
  s.channels = n.size("C"), s.height = n.size("height"), s.width = n.size("width");
  s.encoder = n.size("He"), s.decoder = n.size("Hd");
  s.seen = o.attention ? 2 * s.channels : s.channels;
  s.read = 2 * (o.attention ? s.channels * o.read_size * o.read_size : s.pixels());
  s.patch = o.attention ? s.channels * o.write_size * o.write_size : s.pixels();
  s.write = s.patch + (o.attention ? 10 : 0);
  n.at_least("T", s.steps, 1).at_least("height", s.height, 1).at_least("width", s.width, 1);
  const auto sized = [](const at::Tensor& t, std::int64_t rows, std::int64_t columns) {
    return t.size(0) == rows && t.size(1) == columns;
  };
  if (!sized(w.encoder_ih, 4 * s.encoder, s.read + s.decoder))
    n.unsupported("encoder_ih is not [4He, R + Hd] for what a step reads");
  n("write", w.write, {"P", "Hd"})("write_bias", w.write_bias, {"P"});
  if (n.size("P") != s.write) n.unsupported("write has another number of rows than a step writes");
  return s;
}

DrawResult draw(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                const DrawOptions& o) {
  if (o.trace && at::GradMode::is_enabled()) {
    const at::NoGradGuard no_grad;
    return draw(image, noise, w, o);
  }
  check_draw(image, noise, w, o);
  const TensorList weights = draw_list(w);
  if (const char* reason = why_draw_composed(image, noise, weights)) {
    const DrawResult r = compose::draw(image, noise, w, o);
    note_composed(kDraw, reason);
    return r;
  }
  DrawResult r;
  if (wants_gradient(weights)) {
    const variable_list out = DrawFunction::apply(image, noise, at::TensorList(weights), o);
    r.canvas = out[0], r.mean = out[1], r.log_sigma = out[2];
  } else {
    const at::AutoDispatchBelowADInplaceOrView below;
    r = draw_fused(image, noise, w, o, /*keep=*/false).result;
  }
  note_fused(kDraw);
  return r;
}

}  // namespace attend
