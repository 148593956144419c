#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/viz/report.h"

namespace attend::viz {

inline constexpr double kMargin = 24;

/// Width of a text in Helvetica, whose widths Arial and Liberation Sans share; textLength makes another font keep to it, where
/// the reader knows that attribute.
double width_of(const std::string& text, double size);

/// A stand-alone SVG, shape by shape. Texts are escaped.
class Drawing {
 public:
  void rect(double x, double y, double w, double h, std::uint32_t fill, double radius = 0);
  void line(double x1, double y, double x2, std::uint32_t stroke, double width = 1,
            bool dashed = false);
  void upright(double x, double y1, double y2, std::uint32_t stroke);
  void dot(double x, double y, double radius, std::uint32_t fill);
  /// `more`: further attributes, each after a space.
  void text(double x, double y, const std::string& s, double size, std::uint32_t fill,
            const std::string& more = "");
  /// A bar from zero, on the scale of `all`: ink to the right, vermilion to the left.
  void signed_bar(double x, double width, double y, double v, const std::vector<double>& all);
  /// A PNG file, given as its bytes, stretched to w × h.
  void image(double x, double y, double w, double h, const std::string& png);
  std::string finish(double width, double height, const std::string& title) const;

 private:
  std::string body_;
};

/// The verdict's lead and, where rows were compared with leave-one-out, their mean rank agreement. Returns its last line's place.
double judged_rows(Drawing& drawing, double y, const VerdictText& text, Verdict verdict,
                   const Agreement& agreement);

}  // namespace attend::viz
