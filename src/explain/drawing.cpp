#include "attend/explain/drawing.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/round.h>

#include <nlohmann/json.hpp>

namespace attend::explain {
namespace {

using nlohmann::ordered_json;

/// [C,height,width] of values in [0,1] -> bytes [height,width,C].
std::vector<std::uint8_t> bytes_of_image(const at::Tensor& image) {
  const at::Tensor b =
      (image.clamp(0, 1) * 255).round().permute({1, 2, 0}).to(at::kByte).contiguous();
  const std::uint8_t* p = b.const_data_ptr<std::uint8_t>();
  return {p, p + b.numel()};
}

std::optional<DrawingWindow> window_at(const FilterbankWindow& w, std::int64_t t) {
  if (!w.centre_x.defined()) return std::nullopt;
  const auto number = [&](const at::Tensor& of) { return of[t][0].item<double>(); };
  return DrawingWindow{number(w.centre_x), number(w.centre_y), number(w.stride), number(w.sigma),
                       number(w.intensity)};
}

ordered_json objects_json(const OnObjects& on) {
  return {{"share", on.share}, {"chance", on.chance}, {"middle", on.middle}};
}

ordered_json window_json(const std::optional<DrawingWindow>& w) {
  if (!w) return nullptr;
  ordered_json out = {{"x", w->x},
                      {"y", w->y},
                      {"stride", w->stride},
                      {"sigma", w->sigma},
                      {"intensity", w->intensity}};
  if (w->on_objects) out["on_objects"] = objects_json(*w->on_objects);
  return out;
}

/// Measures one window of every step and returns the mean.
std::optional<OnObjects> measure(DrawingExplanation& e,
                                 std::optional<DrawingWindow> DrawingStep::*which, std::int64_t n,
                                 const at::Tensor& boxes) {
  OnObjects mean;
  for (DrawingStep& step : e.steps) {
    if (!(step.*which)) return std::nullopt;
    const OnObjects on = on_objects(*(step.*which), n, e.height, e.width, boxes);
    mean.share += on.share / static_cast<double>(e.steps.size());
    mean.chance += on.chance / static_cast<double>(e.steps.size());
    mean.middle += on.middle / static_cast<double>(e.steps.size());
    (step.*which)->on_objects = on;
  }
  return mean;
}

}  // namespace

DrawingExplanation explain_drawing(const models::Draw& draw, const at::Tensor& image,
                                   std::uint64_t seed, const at::Tensor& boxes) {
  const models::DrawConfig& c = draw.config();
  const models::DrawTrace trace = draw.trace(image, {seed, 0, 1});
  DrawingExplanation out;
  out.height = c.height, out.width = c.width, out.channels = c.channels;
  if (c.attention) out.read_size = c.read_size, out.write_size = c.write_size;
  out.image = bytes_of_image(image[0]);
  out.reconstruction_nats = trace.bound.reconstruction_nats[0].item<double>();
  out.kl_nats = trace.bound.kl_nats[0].item<double>();
  for (std::int64_t t = 0; t < c.steps; ++t)
    out.steps.push_back({bytes_of_image(trace.images[t][0]), trace.kl_nats[t][0].item<double>(),
                         window_at(trace.read_window, t), window_at(trace.write_window, t)});
  if (boxes.defined() && boxes.numel() > 0) {
    out.read_on_objects = measure(out, &DrawingStep::read, c.read_size, boxes[0]);
    out.write_on_objects = measure(out, &DrawingStep::write, c.write_size, boxes[0]);
  }
  return out;
}

std::string to_json(const DrawingExplanation& e, const std::string& input, const std::string& run) {
  ordered_json steps = ordered_json::array();
  for (const DrawingStep& s : e.steps)
    steps.push_back(
        {{"kl_nats", s.kl_nats}, {"read", window_json(s.read)}, {"write", window_json(s.write)}});
  ordered_json out = {{"schema", "attend.explain/1"},
                      {"run", run},
                      {"input", input},
                      {"output",
                       {{"elbo_nats", e.reconstruction_nats + e.kl_nats},
                        {"reconstruction_nats", e.reconstruction_nats},
                        {"kl_nats", e.kl_nats}}},
                      {"steps", steps}};
  if (e.read_on_objects && e.write_on_objects)
    out["on_objects"] = {{"read", objects_json(*e.read_on_objects)},
                         {"write", objects_json(*e.write_on_objects)}};
  return out.dump();
}

}  // namespace attend::explain
