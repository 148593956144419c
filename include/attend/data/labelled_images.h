#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/catalogue.h"

namespace attend::data {

/// An array of bytes as an IDX file holds it (LeCun's format of MNIST).
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // row-major
};

/// Reads an IDX file of unsigned bytes, gzipped when its name ends in ".gz". The header, big-endian:
/// 0, 0, 8 (unsigned bytes), the number of axes (1…4), then 4 bytes for the length of each. Memory
/// grows with the bytes that are there, not with what the header promises. Throws kIo when the file
/// cannot be opened; kBadInput, naming the file, for a damaged gzip file, another type or number of
/// axes, more than 2³⁰ values, and fewer or more bytes than the header says.
IdxArray read_idx(const std::string& path);

/// The same from bytes in memory; `name` stands for the file in messages.
IdxArray read_idx_bytes(std::string_view bytes, const std::string& name);

/// Grey images of one size with a class each.
struct LabelledImages {
  std::string name;
  std::int64_t count = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // [count, height, width], 0 black … 255 white
  std::vector<std::uint8_t> labels;  // [count], indices into label_names
  std::vector<std::string> label_names;
};

struct ImageCorpus {
  LabelledImages train, test;
};

/// mnist or fashion-mnist by name, or any folder with their four files (train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or .gz; the
/// classes are then named by their numbers). Throws as read_idx, and kBadInput for unequal numbers
/// of images and labels, images of two sizes in the two parts, no image, and for an unknown name,
/// with the nearest; kIo when the set is not on this machine.
ImageCorpus load_labelled_images(const std::string& path_or_name);

}  // namespace attend::data
