#include <set>

#include "attend/base/error.h"
#include "attend/train/translation_metrics.h"

namespace attend::train {

AlignmentReport alignment_error(const std::vector<data::Alignment>& hypotheses,
                                const std::vector<data::Alignment>& gold) {
  if (hypotheses.size() != gold.size())
    fail_usage("alignment_error: " + std::to_string(hypotheses.size()) + " alignments for " +
               std::to_string(gold.size()) + " gold ones");
  AlignmentReport out;
  std::int64_t in_sure = 0, in_possible = 0;
  for (std::size_t i = 0; i < gold.size(); ++i) {
    std::set<std::pair<std::int64_t, std::int64_t>> sure, possible, found;
    for (const data::Link& link : gold[i]) {
      possible.emplace(link.source, link.target);
      if (link.is_sure) sure.emplace(link.source, link.target);
    }
    for (const data::Link& link : hypotheses[i]) found.emplace(link.source, link.target);
    for (const auto& link : found) {
      in_sure += sure.contains(link);
      in_possible += possible.contains(link);
    }
    out.links += static_cast<std::int64_t>(found.size());
    out.sure += static_cast<std::int64_t>(sure.size());
    out.possible += static_cast<std::int64_t>(possible.size());
  }
  const auto share = [](std::int64_t part, std::int64_t all) {
    return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
  };
  out.precision = share(in_possible, out.links);
  out.recall = share(in_sure, out.sure);
  if (out.links + out.sure > 0) out.aer = 1 - share(in_sure + in_possible, out.links + out.sure);
  return out;
}

}  // namespace attend::train
