#include "attend/train/caption_metrics.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::train {
namespace {

constexpr std::size_t kCaptionOrder = 4;

/// A text's n-grams of orders 1…4 (their words joined by spaces) with their counts.
struct CaptionGrams {
  std::int64_t words = 0;
  std::array<std::unordered_map<std::string, std::int64_t>, kCaptionOrder> counts;
};

CaptionGrams caption_grams(const std::string& text) {
  const std::vector<std::string> words = caption_words(text);
  CaptionGrams out;
  out.words = static_cast<std::int64_t>(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string gram;
    for (std::size_t n = 0; n < kCaptionOrder && i + n < words.size(); ++n) {
      gram += (n == 0 ? "" : " ") + words[i + n];
      ++out.counts[n][gram];
    }
  }
  return out;
}

/// An image's caption and its references.
struct CaptionSegment {
  CaptionGrams caption;
  std::vector<CaptionGrams> references;
};

std::vector<CaptionSegment> caption_segments(const std::vector<std::string>& captions,
                                             const std::vector<References>& references) {
  if (captions.size() != references.size())
    fail_usage("caption_scores: " + std::to_string(captions.size()) +
               " captions for references of " + std::to_string(references.size()) + " images");
  if (captions.empty()) fail_usage("caption_scores: there is nothing to score");
  std::vector<CaptionSegment> out;
  for (std::size_t i = 0; i < captions.size(); ++i) {
    if (references[i].empty())
      fail_usage("caption_scores: image " + std::to_string(i) + " has no reference");
    data::require_utf8(captions[i], "a caption");
    out.push_back({caption_grams(captions[i]), {}});
    for (const std::string& reference : references[i]) {
      data::require_utf8(reference, "a reference");
      out.back().references.push_back(caption_grams(reference));
    }
  }
  return out;
}

std::int64_t nearest_length(const CaptionSegment& segment) {
  std::int64_t out = -1, least = 0;
  for (const CaptionGrams& reference : segment.references) {
    const std::int64_t away = std::abs(reference.words - segment.caption.words);
    if (out >= 0 && (away > least || (away == least && reference.words >= out))) continue;
    out = reference.words;
    least = away;
  }
  return out;
}

std::int64_t clipped_matches(const CaptionSegment& segment, std::size_t n) {
  std::int64_t out = 0;
  for (const auto& [gram, count] : segment.caption.counts[n]) {
    std::int64_t most = 0;
    for (const CaptionGrams& reference : segment.references)
      if (const auto found = reference.counts[n].find(gram); found != reference.counts[n].end())
        most = std::max(most, found->second);
    out += std::min(count, most);
  }
  return out;
}

std::array<double, kCaptionOrder> coco_bleu(const std::vector<CaptionSegment>& segments) {
  constexpr double kTiny = 1e-15, kSmall = 1e-9;  // the evaluation code's
  double length = 0, reference_length = 0;
  std::array<double, kCaptionOrder> matches{}, grams{}, out{};
  for (const CaptionSegment& segment : segments) {
    length += static_cast<double>(segment.caption.words);
    reference_length += static_cast<double>(nearest_length(segment));
    for (std::size_t n = 0; n < kCaptionOrder; ++n) {
      const std::int64_t here = segment.caption.words - static_cast<std::int64_t>(n);
      grams[n] += static_cast<double>(std::max<std::int64_t>(0, here));
      matches[n] += static_cast<double>(clipped_matches(segment, n));
    }
  }
  const double ratio = (length + kTiny) / (reference_length + kSmall);
  double product = 1;
  for (std::size_t n = 0; n < kCaptionOrder; ++n) {
    product *= (matches[n] + kTiny) / (grams[n] + kSmall);
    out[n] = std::pow(product, 1.0 / static_cast<double>(n + 1));
    if (ratio < 1) out[n] *= std::exp(1 - 1 / ratio);
  }
  return out;
}

/// In how many images' references an n-gram occurs.
using ImageCounts = std::unordered_map<std::string, std::int64_t>;

ImageCounts count_images(const std::vector<CaptionSegment>& segments) {
  ImageCounts out;
  for (const CaptionSegment& segment : segments) {
    std::unordered_set<std::string> here;
    for (const CaptionGrams& reference : segment.references)
      for (const auto& counts : reference.counts)
        for (const auto& [gram, count] : counts) here.insert(gram);
    for (const std::string& gram : here) ++out[gram];
  }
  return out;
}

/// Weighted counts of a text with their norms and its length.
struct CiderVector {
  std::array<std::unordered_map<std::string, double>, kCaptionOrder> weights;
  std::array<double, kCaptionOrder> norms{};
  double words = 0;
};

CiderVector cider_vector(const CaptionGrams& grams, const ImageCounts& images, double log_images) {
  CiderVector out;
  out.words = static_cast<double>(grams.words);
  for (std::size_t n = 0; n < kCaptionOrder; ++n) {
    for (const auto& [gram, count] : grams.counts[n]) {
      const auto found = images.find(gram);
      const double seen = found == images.end() ? 1 : static_cast<double>(found->second);
      const double weight = static_cast<double>(count) * (log_images - std::log(seen));
      out.weights[n][gram] = weight;
      out.norms[n] += weight * weight;
    }
    out.norms[n] = std::sqrt(out.norms[n]);
  }
  return out;
}

/// Σ over n of the clipped cosine, times the penalty for another length.
double cider_likeness(const CiderVector& caption, const CiderVector& reference) {
  constexpr double kSigma = 6;
  const double away = caption.words - reference.words;
  double out = 0;
  for (std::size_t n = 0; n < kCaptionOrder; ++n) {
    double product = 0;
    for (const auto& [gram, weight] : caption.weights[n])
      if (const auto found = reference.weights[n].find(gram); found != reference.weights[n].end())
        product += std::min(weight, found->second) * found->second;
    const double norms = caption.norms[n] * reference.norms[n];
    out += norms != 0 ? product / norms : product;
  }
  return out * std::exp(-away * away / (2 * kSigma * kSigma));
}

std::vector<double> cider_d(const std::vector<CaptionSegment>& segments) {
  const ImageCounts images = count_images(segments);
  const double log_images = std::log(static_cast<double>(segments.size()));
  std::vector<double> out;
  for (const CaptionSegment& segment : segments) {
    const CiderVector caption = cider_vector(segment.caption, images, log_images);
    double sum = 0;
    for (const CaptionGrams& reference : segment.references)
      sum += cider_likeness(caption, cider_vector(reference, images, log_images));
    out.push_back(10.0 / kCaptionOrder * sum / static_cast<double>(segment.references.size()));
  }
  return out;
}

}  // namespace

CaptionScores caption_scores(const std::vector<std::string>& captions,
                             const std::vector<References>& references) {
  const std::vector<CaptionSegment> segments = caption_segments(captions, references);
  CaptionScores out;
  out.bleu = coco_bleu(segments);
  out.cider_each = cider_d(segments);
  for (const double score : out.cider_each) out.cider += score;
  out.cider /= static_cast<double>(out.cider_each.size());
  return out;
}

}  // namespace attend::train
