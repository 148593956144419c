// safetensors_tool IN OUT: reads IN and writes it again. What safetensors_pytest.py compares with the package's own.
#include <iostream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/safetensors.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    attend::write_file_atomically(
        argv[2], attend::interop::safetensors_bytes(attend::interop::read_safetensors(argv[1])));
  } catch (const attend::Error& e) {
    std::cerr << e.what() << "\n";
    return static_cast<int>(e.kind());
  }
  return 0;
}
