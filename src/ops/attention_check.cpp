#include "ops/attention_check.h"

#include <sstream>

#include "attend/base/error.h"

namespace attend {

void check_broadcast(const char* op, const char* name, const at::Tensor& t, at::IntArrayRef shape) {
  if (!t.defined()) return;
  bool fits = t.dim() <= static_cast<std::int64_t>(shape.size());
  for (std::int64_t i = 1; fits && i <= t.dim(); ++i)
    fits = t.size(-i) == 1 || t.size(-i) == shape[shape.size() - static_cast<std::size_t>(i)];
  if (fits) return;
  std::ostringstream out;
  out << op << ": " << name << " has shape " << t.sizes()
      << ", which does not broadcast to the scores' " << shape;
  fail_usage(out.str());
}

void check_attention_options(ShapeCheck& check, const char* op, const AttentionOptions& o,
                             at::IntArrayRef scores) {
  check_broadcast(op, "mask", o.mask, scores);
  if (o.mask.defined() && o.mask.scalar_type() != at::kBool)
    fail_usage(std::string(op) + ": mask has dtype " + c10::toString(o.mask.scalar_type()) +
               " but must be bool, true = may attend; give scores to add as bias");
  check_broadcast(op, "bias", o.bias, scores);
  if (o.bias.defined() && !at::isFloatingType(o.bias.scalar_type()))
    fail_usage(std::string(op) + ": bias has dtype " + c10::toString(o.bias.scalar_type()) +
               " but must be floating point; give a boolean mask as mask");
  check.lengths("query_lengths", o.query_lengths, "Lq").lengths("key_lengths", o.key_lengths, "Lk");
  check.at_least("window_left", o.window_left, -1).at_least("window_right", o.window_right, -1);
  if (o.scale) check.finite("scale", *o.scale);
  check.probability("dropout", o.dropout);
}

}  // namespace attend
