#pragma once
#include "attend/viz/film.h"

namespace attend::viz {

/// Throws kUsage when an image has another size than the film says.
void check_film(const Film& film);
/// Of the square to draw: what the filter centres span; two σ where there is one filter.
double window_side(const FilmWindow& w, std::int64_t n);

}  // namespace attend::viz
