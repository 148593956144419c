#pragma once
#include <attend/interop/safetensors.h>

#include <string>

namespace attend::interop {

/// The floating-point arrays of an HDF5 file by their paths ("conv1/conv1/kernel:0"), float64 as such and all shorter ones as float32,
/// and in the metadata its attribute model_config, "" when it has none. Other objects, and links that are not hard, are passed over.
///
/// HDF5's library never enters this process: the program attend-hdf5, which is built where libhdf5 is, reads the file under
/// seccomp, without any right to open, connect or start something, in at most 60 s and 4 GiB, and its answer is checked as
/// a safetensors file is.
/// Throws kIo for a path that is no regular file or cannot be read; kBadInput naming path and rule for a file that is not
/// HDF5, damaged, over 1 GiB, or holds arrays of more than 1 GiB or with names that are not ASCII; kFailure when attend-hdf5
/// is not there or the kernel cannot lock it down.
SafetensorsFile read_hdf5(const std::string& path);

/// Whether attend-hdf5 is beside the running program or this library.
bool reads_hdf5();

}  // namespace attend::interop
