// A drawing as pixels, by librsvg and cairo. They are loaded at the first picture and
// declared here: linked, they and the forty libraries behind them would add 20 ms to every start of
// every program that uses this one, and their headers a hundred packages (docs/adr/0006).
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "attend/base/error.h"
#include "attend/viz/caption.h"
#include "attend/viz/reading.h"
#include "attend/viz/report.h"
#include "attend/viz/translation.h"

namespace attend::viz {
namespace {

constexpr double kScale = 2;            // sharp on a screen of two pixels to a point
constexpr double kMostPixels = 32'767;  // cairo's limit of either side
constexpr int kRgb24 = 1;               // CAIRO_FORMAT_RGB24

struct Rectangle {  // RsvgRectangle
  double x, y, width, height;
};

void* librsvg() {
  static void* const library = dlopen("librsvg-2.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(ErrorKind::kFailure,
                "attend::viz: a PNG needs librsvg-2.so.2, which this machine lacks; install it "
                "(Debian: librsvg2-2), or write an SVG (--svg)");
  return library;
}

/// A C function of librsvg or of a library that it brings (cairo, GLib).
template <class Signature>
Signature* function(const char* name) {
  void* const found = dlsym(librsvg(), name);
  if (found == nullptr)
    throw Error(ErrorKind::kFailure,
                std::string("attend::viz: this machine's librsvg has no ") + name +
                    "; install version 2.52 or newer, or write an SVG (--svg)");
  return reinterpret_cast<Signature*>(found);
}

using Owned = std::unique_ptr<void, void (*)(void*)>;
Owned owned(void* object, const char* destroy) { return {object, function<void(void*)>(destroy)}; }

int append_bytes(void* to, const unsigned char* bytes, unsigned int n) {  // cairo_write_func_t
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), n);
  return 0;
}

double scale_of(double width, double height) {
  const double scale = std::min(kScale, kMostPixels / std::max(width, height));
  if (scale < 1)
    fail_usage("attend::viz: the picture would be " +
               std::to_string(std::lround(std::max(width, height))) + " pixels " +
               (height > width ? "high" : "wide") + " and a PNG here has at most " +
               std::to_string(std::lround(kMostPixels)) +
               "; give a shorter sentence, or write an SVG (--svg)");
  return scale;
}

void check_drawn(bool drawn) {
  if (!drawn)
    throw Error(ErrorKind::kFailure,
                "attend::viz: librsvg could not draw the picture; write an SVG (--svg) instead");
}

/// An SVG as the bytes of a PNG file.
std::string pixels_of(const std::string& drawing) {
  const Owned handle =
      owned(function<void*(const void*, std::size_t, void**)>("rsvg_handle_new_from_data")(
                drawing.data(), drawing.size(), nullptr),
            "g_object_unref");
  double width = 0, height = 0;
  check_drawn(handle &&
              function<int(void*, double*, double*)>("rsvg_handle_get_intrinsic_size_in_pixels")(
                  handle.get(), &width, &height));
  const double scale = scale_of(width, height);
  const auto pixels = [&](double length) { return static_cast<int>(std::floor(length * scale)); };
  const Owned surface = owned(function<void*(int, int, int)>("cairo_image_surface_create")(
                                  kRgb24, pixels(width), pixels(height)),
                              "cairo_surface_destroy");
  const Owned context =
      owned(function<void*(void*)>("cairo_create")(surface.get()), "cairo_destroy");
  const Rectangle whole = {0, 0, width * scale, height * scale};
  check_drawn(function<int(void*, void*, const Rectangle*, void**)>("rsvg_handle_render_document")(
      handle.get(), context.get(), &whole, nullptr));
  std::string bytes;
  check_drawn(function<int(void*, int (*)(void*, const unsigned char*, unsigned int), void*)>(
                  "cairo_surface_write_to_png_stream")(surface.get(), append_bytes, &bytes) == 0);
  return bytes;
}

}  // namespace

std::string png(const Sentence& sentence, const std::vector<std::string>& label_names) {
  return pixels_of(svg(sentence, label_names));
}

std::string png(const CaptionPicture& caption, const std::vector<std::string>& frames) {
  return pixels_of(svg(caption, frames));
}

std::string png(const Translation& translation) { return pixels_of(svg(translation)); }

std::string png(const Reading& reading) { return pixels_of(svg(reading)); }

}  // namespace attend::viz
