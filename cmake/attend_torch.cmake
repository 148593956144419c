# attend_torch: libtorch as an interface target. Not torch's own target `torch`, whose -isystem would shadow the
# headers of fmt, protobuf and dnnl from the system.
if(ATTEND_TORCH)
  set(_torch "${ATTEND_TORCH}")
else()
  file(GLOB _venv "${PROJECT_SOURCE_DIR}/.venv/lib/python3.*/site-packages/torch")
  if(NOT _venv)
    message(FATAL_ERROR "no libtorch: run ./dev setup (installs torch into .venv), or set ATTEND_TORCH to the folder "
                        "of a libtorch 2.6 or newer (the one that holds include/ and lib/)")
  endif()
  list(GET _venv 0 _torch)
endif()
if(NOT EXISTS "${_torch}/share/cmake/Torch/TorchConfigVersion.cmake" OR NOT EXISTS "${_torch}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "ATTEND_TORCH=${_torch} is not a libtorch: share/cmake/Torch or lib/libtorch_cpu.so is missing")
endif()
# Where the version is written has moved between releases; TorchConfigVersion.cmake is in all of them.
file(STRINGS "${_torch}/share/cmake/Torch/TorchConfigVersion.cmake" _version REGEX "set\\(PACKAGE_VERSION ")
string(REGEX REPLACE ".*\"([0-9]+\\.[0-9]+).*" "\\1" ATTEND_TORCH_VERSION "${_version}")
if(ATTEND_TORCH_VERSION VERSION_LESS 2.6)
  message(FATAL_ERROR "libtorch ${ATTEND_TORCH_VERSION} in ${_torch} is too old: attend needs 2.6 or newer")
endif()
message(STATUS "libtorch ${ATTEND_TORCH_VERSION}: ${_torch}")
set(ATTEND_TORCH_DIR "${_torch}")
set(ATTEND_TORCH_LIB_DIR "${_torch}/lib")

add_library(attend_torch INTERFACE)
target_compile_options(attend_torch INTERFACE
  "SHELL:-idirafter ${_torch}/include" "SHELL:-idirafter ${_torch}/include/torch/csrc/api/include")
target_compile_definitions(attend_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(attend_torch INTERFACE
  "${_torch}/lib/libtorch.so" "${_torch}/lib/libtorch_cpu.so" "${_torch}/lib/libc10.so")

# ATTEND_HAS_RANKS: training with several processes. A libtorch may have been built without c10d or Gloo, whose headers it has
# all the same; so the linker is asked.
option(ATTEND_RANKS "Train with several processes, where libtorch has c10d and Gloo" ON)
set(ATTEND_HAS_RANKS OFF)
if(ATTEND_RANKS AND EXISTS "${_torch}/include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp")
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_LIBRARIES "${_torch}/lib/libtorch_cpu.so" "${_torch}/lib/libc10.so")
  check_cxx_source_compiles("namespace c10d { struct ProcessGroupGloo { ~ProcessGroupGloo(); }; }
    void take(c10d::ProcessGroupGloo* group) { group->~ProcessGroupGloo(); }
    int main(int n, char**) { if (n > 9) take(nullptr); }" ATTEND_TORCH_HAS_GLOO)
  unset(CMAKE_REQUIRED_LIBRARIES)
  set(ATTEND_HAS_RANKS ${ATTEND_TORCH_HAS_GLOO})
endif()
if(NOT ATTEND_HAS_RANKS)
  message(STATUS "no c10d with Gloo: attend launch will say so")
endif()
