// safetensors_tool IN OUT…: reads each IN and writes it again as OUT; a line of stdout for each, "ok" or the exit status
// and the message. What safetensors_pytest.py compares with the package's own.
#include <iostream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/safetensors.h"

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    try {
      const auto file = attend::interop::read_safetensors(argv[i]);
      attend::write_file_atomically(argv[i + 1], attend::interop::safetensors_bytes(file));
      std::cout << "ok\n";
    } catch (const attend::Error& e) {
      std::cout << static_cast<int>(e.kind()) << " " << e.what() << "\n";
    }
  }
}
