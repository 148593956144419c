#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attend::viz {

/// The code points of a text; every byte that is no part of valid UTF-8 becomes U+FFFD.
std::vector<char32_t> decode(std::string_view text);
/// Appends one code point as UTF-8.
void append(std::string& out, char32_t c);
/// Columns a terminal gives the code point: 0 for combining marks, 2 for wide East Asian and emoji,
/// else 1.
int columns(char32_t c);
int columns(std::string_view text);

/// .07, 1.00, −.31: fixed decimals, no leading zero, true minus; "–" when missing.
std::string dec(double x, int places = 2);
/// The same with a plus sign before what is above zero.
std::string signed_dec(double x, int places = 2);

/// Shade of a weight: round(10 · weight / largest), 0…10.
int shade(double weight, double largest);
/// Largest number that is not missing; 0 when there is none.
double largest_of(const std::vector<double>& values);
/// Largest absolute value of those that are not missing; 0 when there is none.
double magnitude_of(const std::vector<double>& values);
/// Thickness of the line under a word for its effect: round(4 · |effect| / largest), 0…4, with a largest of .1 at least; 0 for
/// a missing one.
int thickness(double effect, double largest);

}  // namespace attend::viz
