#pragma once
#include <string>
#include <utility>

#include "attend/base/error.h"

namespace attend::test {

/// What the Error says that `act` throws; "" when it throws none.
template <class F>
std::string message_of(F&& act) {
  try {
    std::forward<F>(act)();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace attend::test
