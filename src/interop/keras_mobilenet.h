#pragma once
#include <string>

#include "attend/interop/image_network.h"
#include "attend/interop/safetensors.h"

namespace attend::interop {

/// MobileNet v1 from the arrays of a Keras file (read_hdf5); see read_image_network.
ImageNetwork mobilenet_from_keras(const SafetensorsFile& file, const std::string& path);

/// "[3, 3, 8]"
std::string shape_text(at::IntArrayRef sizes);

}  // namespace attend::interop
