#include "decode/rows.h"

namespace attend::decode {

Hypotheses greedy(models::StepModel& model, const SearchOptions& options) {
  Stepper stepper("greedy", model, options);
  Hypotheses out(static_cast<std::size_t>(stepper.sources()));
  std::vector<Row> rows = stepper.first_rows();
  while (!rows.empty()) {
    StepRows step = stepper.step(rows);
    const auto best = step.best(1);
    std::vector<Row> next;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto place = static_cast<std::int64_t>(r);
      auto& found = out[static_cast<std::size_t>(rows[r].source)];
      if (best[r].empty()) {  // nothing is possible any more
        found.push_back(to_hypothesis(rows[r].trail, rows[r].log_probability));
        found.back().ended = false;
        continue;
      }
      const std::int64_t token = best[r].front().token;
      const double log_p = rows[r].log_probability + best[r].front().log_p;
      if (stepper.is_eos(token)) {
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
