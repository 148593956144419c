#pragma once
#include <stdexcept>
#include <string>

namespace attend {

/// What went wrong, in the terms of a command's exit status: kFailure 1, kUsage 2, kBadInput 3, kIo 4, kDiverged 5.
enum class ErrorKind { kFailure = 1, kUsage = 2, kBadInput = 3, kIo = 4, kDiverged = 5 };

/// The only exception this library throws on purpose. `what()` is one line that names the thing (file:line, key or
/// argument with its shape), what was expected and the mend.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

[[noreturn]] inline void fail_usage(const std::string& m) { throw Error(ErrorKind::kUsage, m); }
[[noreturn]] inline void fail_input(const std::string& m) { throw Error(ErrorKind::kBadInput, m); }
[[noreturn]] inline void fail_io(const std::string& m) { throw Error(ErrorKind::kIo, m); }

}  // namespace attend
