#pragma once
#include <string>

#include "data/line_reader.h"

namespace attend::data {

/// The unpacked bytes of a gzip file, in bounded memory. Throws kIo when it cannot be opened,
/// kBadInput (from the source) when it is damaged.
ByteSource bytes_of_gzip_file(const std::string& path);

/// bytes_of_gzip_file for a name that ends in ".gz", else bytes_of_file.
ByteSource bytes_of_any_file(const std::string& path);

}  // namespace attend::data
