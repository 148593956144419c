#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "decode/rows.h"

namespace attend::decode {
namespace {

/// A continuation of an open hypothesis.
struct BeamCandidate {
  double log_probability = 0;
  std::int64_t row = 0;
  std::int64_t token = 0;
  /// Better first; of equals the earlier row, then the lower id, so that a batch changes nothing.
  bool operator<(const BeamCandidate& other) const {
    if (log_probability != other.log_probability) return log_probability > other.log_probability;
    return row != other.row ? row < other.row : token < other.token;
  }
};

double length_penalty(std::int64_t length, double alpha) {
  return std::pow((5.0 + static_cast<double>(length)) / 6.0, alpha);
}

double coverage_penalty(const std::vector<std::vector<float>>& attention, double beta) {
  if (beta == 0 || attention.empty()) return 0;
  double sum = 0;
  for (std::size_t j = 0; j < attention[0].size(); ++j) {
    double seen = 0;
    for (const auto& token : attention) seen += static_cast<double>(token[j]);
    if (seen > 0) sum += std::log(std::min(seen, 1.0));
  }
  return beta * sum;
}

class BeamSearch {
 public:
  BeamSearch(models::StepModel& model, const SearchOptions& options, const BeamOptions& beam)
      : beam_(beam), stepper_("beam_search", model, options), found_(count(stepper_.sources())) {}

  Hypotheses run() {
    std::vector<Row> rows = stepper_.first_rows();
    while (!rows.empty()) {
      StepRows step = stepper_.step(rows);
      if (beam_.coverage_beta > 0 && !step.has_attention())
        fail_usage("beam_search: coverage_beta needs a model that gives attention");
      const Continuations best = step.best(beam_.beam);
      std::vector<Row> next;
      for (std::size_t first = 0; first < rows.size();) {
        std::size_t last = first;
        while (last < rows.size() && rows[last].source == rows[first].source) ++last;
        advance(rows, {first, last}, step, best, next);
        first = last;
      }
      rows = std::move(next);
    }
    for (auto& hypotheses : found_)
      hypotheses.resize(std::min(count(beam_.best), hypotheses.size()));
    return std::move(found_);
  }

 private:
  static std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

  using Continuations = std::vector<std::vector<StepRows::Continuation>>;

  /// The `beam` best continuations of rows [first, last), one source's, out of each row's own.
  std::vector<BeamCandidate> best_of(const std::vector<Row>& rows, std::size_t first,
                                     std::size_t last, const Continuations& of_rows) const {
    std::vector<BeamCandidate> best;
    for (std::size_t r = first; r < last; ++r)
      for (const auto& [token, log_p] : of_rows[r])
        best.push_back({rows[r].log_probability + log_p, static_cast<std::int64_t>(r), token});
    std::sort(best.begin(), best.end());
    if (best.size() > count(beam_.beam)) best.resize(count(beam_.beam));
    return best;
  }

  struct Source {
    std::size_t first, last;  // its rows
  };
  void advance(const std::vector<Row>& rows, Source place, const StepRows& step,
               const Continuations& of_rows, std::vector<Row>& next) {
    const auto [first, last] = place;
    const std::int64_t source = rows[first].source;
    auto& found = found_[count(source)];
    const std::size_t before = next.size();
    for (const BeamCandidate& c : best_of(rows, first, last, of_rows)) {
      const TrailPtr& trail = rows[count(c.row)].trail;
      if (stepper_.is_eos(c.token))
        finish(found, to_hypothesis(trail, c.log_probability));
      else
        next.push_back({source, c.row, c.token, c.log_probability,
                        extend(trail, c.token, step.attention(count(c.row)))});
    }
    if (next.size() == before && found.empty()) {  // nothing can end: what there is, is returned
      for (std::size_t r = first; r < last; ++r) {
        finish(found, to_hypothesis(rows[r].trail, rows[r].log_probability));
        found.back().ended = false;
      }
    }
    if (beam_.stop_early && next.size() > before && is_decided(found, next[before]))
      next.resize(before);
  }

  void finish(std::vector<Hypothesis>& found, Hypothesis hypothesis) const {
    const auto length = static_cast<std::int64_t>(hypothesis.tokens.size()) + 1;  // with eos
    hypothesis.score = hypothesis.log_probability / length_penalty(length, beam_.length_alpha) +
                       coverage_penalty(hypothesis.attention, beam_.coverage_beta);
    const auto place = std::find_if(found.begin(), found.end(), [&](const Hypothesis& other) {
      return other.score < hypothesis.score;
    });
    if (place == found.end() && found.size() == count(beam_.beam)) return;
    found.insert(place, std::move(hypothesis));
    if (found.size() > count(beam_.beam)) found.pop_back();
  }

  /// Can no continuation of the open hypotheses, of which `open` is the likeliest, come among the
  /// best any more? See beam_search for the proof. An equal score would stand behind.
  bool is_decided(const std::vector<Hypothesis>& found, const Row& open) const {
    if (found.size() < count(beam_.best)) return false;
    const std::int64_t longest = stepper_.max_length(open.source) + 1;
    const double bound = open.log_probability / length_penalty(longest, beam_.length_alpha);
    return found[count(beam_.best) - 1].score >= bound;
  }

  const BeamOptions& beam_;
  Stepper stepper_;
  Hypotheses found_;  // for each source, best first, at most `beam`
};

void check_beam(const BeamOptions& beam) {
  const auto fail = [](const std::string& what) { fail_usage("beam_search: " + what); };
  if (beam.beam < 1 || beam.beam > 1000)
    fail("beam is " + std::to_string(beam.beam) + "; give 1…1000");
  if (beam.best < 1 || beam.best > beam.beam)
    fail("best is " + std::to_string(beam.best) + "; give 1…beam (" + std::to_string(beam.beam) +
         ")");
  if (!(beam.length_alpha >= 0 && beam.length_alpha <= 10))
    fail("length_alpha is " + std::to_string(beam.length_alpha) + "; give 0…10");
  if (!(beam.coverage_beta >= 0 && beam.coverage_beta <= 1e6))
    fail("coverage_beta is " + std::to_string(beam.coverage_beta) + "; give 0 or more");
}

}  // namespace

Hypotheses beam_search(models::StepModel& model, const SearchOptions& options,
                       const BeamOptions& beam) {
  check_beam(beam);
  return BeamSearch(model, options, beam).run();
}

}  // namespace attend::decode
