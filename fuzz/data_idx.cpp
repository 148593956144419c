#include "attend/data/labelled_images.h"
#include "data_rows.h"

/// An array that is accepted has a value for each place that its shape names.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  try {
    const IdxArray array = read_idx_bytes({reinterpret_cast<const char*>(bytes), size}, "f");
    std::int64_t values = 1;
    for (const std::int64_t n : array.shape) values *= n;
    require(static_cast<std::int64_t>(array.bytes.size()) == values);
    require(array.bytes.size() + 4 + 4 * array.shape.size() == size);
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
    require(std::string_view(e.what()).starts_with("f: "));
  }
  return 0;
}
