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

/// The file that read_idx reads.
std::string idx_bytes(const IdxArray& array);

/// Grey images of one size, each of which shows the same number of objects of known classes: one, but for generated images.
struct LabelledImages {
  std::string name;
  std::int64_t count = 0, height = 0, width = 0, objects = 1;
  std::vector<std::uint8_t> pixels;  // [count, height, width], 0 black … 255 white
  std::vector<std::uint8_t> labels;  // [count, objects], indices into label_names
  std::vector<std::uint8_t>
      boxes;  // [count, objects, 4] (left, top, width, height): where they are;
              // empty when not known
  std::vector<std::string> label_names;
};

struct ImageCorpus {
  LabelledImages train, test;
};

/// mnist, fashion-mnist or cluttered-mnist by name, or any folder with four files as theirs (train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or .gz; the
/// classes are then named by their numbers). train-labels-idx2-ubyte and t10k-labels-idx2-ubyte in their place
/// hold the labels of several objects an image; train-boxes-idx3-ubyte and t10k-boxes-idx3-ubyte, where they are, say where the
/// objects are. make_set writes such a folder. `make` is for cluttered-mnist. Throws
/// as read_idx, and kBadInput for unequal numbers of images, labels and boxes, a box beyond its image, images of two sizes in
/// the two parts, no image, and for an unknown name, with the nearest; kIo when the set, or what it is made from, is not on
/// this machine.
ImageCorpus load_labelled_images(const std::string& path_or_name, const MakeOptions& make = {});

/// cluttered-mnist: small images put at random places of large black ones, among pieces of others, as in DRAW (Gregor et al.
/// 2015, section 4.3) and, the clutter, in "Recurrent Models of Visual Attention" (Mnih et al. 2014). Each of options.rows images
/// of options.size² pixels holds options.digits whole images of the source and options.clutter crops of 8 × 8 pixels of others
/// of it, every one at a place drawn evenly among those that hold it whole; where they overlap pixels add up, at most to 255.
/// A box is the smallest that holds what is not black of a digit. The last tenth of the rows is the test part and made of the source's test images
/// alone, the others of its training images. A pure function of the arguments; row i does not depend on the number of rows
/// within its part of training rows. Throws kUsage unless 10 ≤ rows ≤ 100,000, the source's larger side ≤ size ≤ 255,
/// 1 ≤ digits ≤ 16, 0 ≤ clutter ≤ 256 and all images together have at most 2³⁰ pixels.
ImageCorpus make_cluttered(const ImageCorpus& source, const MakeOptions& options = {});

}  // namespace attend::data
