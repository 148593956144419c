#pragma once
#include <string>
#include <vector>

namespace attend::data {

/// Runs a program (looked for in PATH) with these arguments, no shell between; its output and
/// errors go to the file `log`. Returns its exit status, 127 when it cannot be started, 128 + n
/// when signal n ended it.
int run_child(const std::vector<std::string>& arguments, const std::string& log);

/// A Python that has pip: $ATTEND_PYTHON when set, else that of a `.venv` beside or above the
/// running program, else python3. Throws kIo, saying what to install, when none has.
std::string find_python(const std::string& log);

}  // namespace attend::data
