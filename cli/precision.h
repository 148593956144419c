#pragma once
#include <string>

#include "attend/ops/prepared_linear.h"
#include "verb.h"

namespace attend::cli {

/// --precision of the verbs that translate.
inline void add_precision(const Verb& verb, std::string& value) {
  verb.choice("--precision", {"float32", "int8"}, value,
              "translations by a Transformer: int8 is faster, a little less exact (default: "
              "float32)");
}
inline Precision precision_of(const std::string& name) {
  return name == "int8" ? Precision::kInt8 : Precision::kFloat32;
}

}  // namespace attend::cli
