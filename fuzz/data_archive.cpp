#include "data/archive.h"
#include "data_rows.h"

/// Members that come out have safe names and keep to the limits.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  const std::string_view archive(reinterpret_cast<const char*>(bytes), size);
  const ArchiveLimits limits{1 << 16, 200, 50};
  try {
    std::size_t total = 0;
    for (const auto& [path, content] : unpack(
             archive, "f", [](const std::string&) { return true; }, limits)) {
      require(!path.empty() && path[0] != '/' &&
              ("/" + path + "/").find("/../") == std::string::npos);
      total += content.size();
    }
    require(total <= limits.most_bytes);
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
  }
  return 0;
}
