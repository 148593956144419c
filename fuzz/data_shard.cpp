#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "attend/data/shard.h"
#include "data_rows.h"

/// A file that is accepted has pairs that can all be read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  static const std::string path =
      std::filesystem::temp_directory_path() / ("attend-fuzz-shard-" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  try {
    const PairShard shard(path);
    std::size_t ids = 0;
    for (std::size_t i = 0; i < shard.size(); ++i)
      for (const auto& side : {shard.source(i), shard.target(i)})
        for (const std::int32_t id : side) ids += id >= 0;
    require(ids <= size / 4);
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
  }
  return 0;
}
