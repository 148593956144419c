#include "data_rows.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  return attend::data::check_rows(bytes, size, attend::data::Format::kTsv);
}
