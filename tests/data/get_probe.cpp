// What the Python tests drive for downloads:
//   get_probe download URL PATH SHA256 [tries]     ->  "ok" or the error's kind and message
//   get_probe get NAME UCI_ZIP_URL SST_FOLDER_URL   ->  the folder
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "attend/base/error.h"
#include "data/download.h"
#include "data/fetch.h"

int main(int argc, char** argv) {
  try {
    if (argc >= 5 && std::strcmp(argv[1], "download") == 0) {
      attend::data::DownloadOptions options;
      options.wait_ms = 1;
      options.connect_s = 5;
      options.stall_s = 2;
      if (argc > 5) options.tries = std::atoi(argv[5]);
      attend::data::download(argv[2], argv[3], argv[4], {}, options);
      std::puts("ok");
    } else if (argc == 5 && std::strcmp(argv[1], "get") == 0) {
      std::puts(attend::data::get_set_from(argv[2], {argv[3], argv[4]}, {}).c_str());
    } else {
      return 2;
    }
  } catch (const attend::Error& e) {
    std::printf("%d %s\n", static_cast<int>(e.kind()), e.what());
    return static_cast<int>(e.kind());
  }
}
