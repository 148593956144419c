#include <algorithm>
#include <cmath>

#include "decode/rows.h"

namespace attend::decode {

Hypotheses greedy(models::StepModel& model, const SearchOptions& options) {
  Stepper stepper("greedy", model, options);
  Hypotheses out(static_cast<std::size_t>(stepper.sources()));
  std::vector<Row> rows = stepper.first_rows();
  while (!rows.empty()) {
    StepRows step = stepper.step(rows);
    std::vector<Row> next;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto place = static_cast<std::int64_t>(r);
      const double* row = step.scores(r);
      const std::int64_t token = std::max_element(row, row + step.vocabulary()) - row;
      const double log_p = rows[r].log_probability + row[token];
      auto& found = out[static_cast<std::size_t>(rows[r].source)];
      if (std::isinf(row[token])) {  // nothing is possible any more
        found.push_back(to_hypothesis(rows[r].trail, rows[r].log_probability));
        found.back().ended = false;
      } else if (stepper.is_eos(token)) {
        found.push_back(to_hypothesis(rows[r].trail, log_p));
      } else {
        next.push_back(
            {rows[r].source, place, token, log_p, extend(rows[r].trail, token, step.attention(r))});
      }
    }
    rows = std::move(next);
  }
  return out;
}

}  // namespace attend::decode
