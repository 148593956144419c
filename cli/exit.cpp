#include "exit.h"

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "attend/base/error.h"

namespace attend::cli {
namespace {

/// One line, and nothing in it that a terminal would obey: messages quote file names and input.
void complain(std::string_view message) noexcept {
  std::fflush(stdout);
  std::fputs("attend: ", stderr);
  for (const char c : message.substr(0, message.find('\n'))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F)
      std::fprintf(stderr, "\\x%02x", byte);
    else
      std::fputc(c, stderr);
  }
  std::fputc('\n', stderr);
}

}  // namespace

int guarded(const std::function<int()>& program) noexcept {
  try {
    return program();
  } catch (const Error& error) {
    complain(error.what());
    return static_cast<int>(error.kind());
  } catch (const std::bad_alloc&) {
    complain("out of memory; use a smaller batch, model or input");
  } catch (const std::exception& error) {
    complain(std::string("unexpected failure: ") + error.what());
  } catch (...) {
    complain("unexpected failure of an unknown kind");
  }
  return static_cast<int>(ErrorKind::kFailure);
}

}  // namespace attend::cli
