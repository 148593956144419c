# attend_room(NAME SOURCES … [ROOMS …] [LIBS …]): one object library per folder of src/, alias attend::NAME.
# ROOMS are the rooms it may include (tools/check_layers holds the same list); LIBS stay private to it.
function(attend_room name)
  cmake_parse_arguments(R "" "" "SOURCES;ROOMS;LIBS" ${ARGN})
  add_library(attend_${name} OBJECT ${R_SOURCES})
  add_library(attend::${name} ALIAS attend_${name})
  target_include_directories(attend_${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>")
  target_link_libraries(attend_${name} PRIVATE attend_flags)
  foreach(room ${R_ROOMS})
    target_link_libraries(attend_${name} PRIVATE attend_${room})
  endforeach()
  target_link_libraries(attend_${name} PRIVATE ${R_LIBS})
  if(NOT name STREQUAL "kernels")   # Highway includes a kernel's file once per target: it must be a file of its own
    attend_join_files(attend_${name})
  endif()
  if(attend_torch IN_LIST R_LIBS)
    attend_precompile(attend_${name})
  endif()
  set_property(GLOBAL APPEND PROPERTY ATTEND_ROOMS ${name})
  set_property(GLOBAL APPEND PROPERTY ATTEND_LIBS ${R_LIBS})
endfunction()

# Compiles several sources of a target as one: most of the time of a small file goes into libtorch's and the JSON library's
# headers. Measured on two cores from nothing: see README. Off where a tool wants to see each file (tidy, coverage).
option(ATTEND_JOIN_FILES "Compile several source files of a room at once" ON)
function(attend_join_files target)
  if(ATTEND_JOIN_FILES)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

# attend_precompile(TARGET): libtorch's and the JSON library's headers, most of the time of a small file, are compiled once
# for all targets. CMAKE_DISABLE_PRECOMPILE_HEADERS turns it off (tidy: so that a missing #include is seen).
function(attend_precompile target)
  if(NOT ATTEND_WITH_TORCH)
    return()
  endif()
  if(NOT TARGET attend_headers)
    set(source "${PROJECT_BINARY_DIR}/attend_headers.cpp")
    file(GENERATE OUTPUT "${source}" CONTENT "// Holds the precompiled headers.\n")
    add_library(attend_headers OBJECT "${source}")
    target_link_libraries(attend_headers PRIVATE attend_flags attend_torch)
    target_precompile_headers(attend_headers PRIVATE <ATen/core/Tensor.h> <ATen/TensorOperators.h> <nlohmann/json.hpp>
      <algorithm> <filesystem> <functional> <map> <memory> <string> <unordered_map> <vector>)
  endif()
  target_precompile_headers(${target} REUSE_FROM attend_headers)
  # GCC forgets, in precompiled headers, that the intrinsics are the system's, and warns of them without cause.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
endfunction()

# libattend.so: the objects of every room. What a consumer links as attend::attend.
function(attend_library)
  get_property(rooms GLOBAL PROPERTY ATTEND_ROOMS)
  get_property(libs GLOBAL PROPERTY ATTEND_LIBS)
  list(REMOVE_DUPLICATES libs)
  list(REMOVE_ITEM libs attend_torch)
  add_library(attend SHARED)
  add_library(attend::attend ALIAS attend)
  foreach(room ${rooms})
    target_sources(attend PRIVATE $<TARGET_OBJECTS:attend_${room}>)
  endforeach()
  target_include_directories(attend PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
  target_compile_features(attend PUBLIC cxx_std_20)
  # Only libtorch is part of the interface; the rest stays ours, so a consumer needs none of it.
  foreach(lib attend_flags ${libs})
    target_link_libraries(attend PRIVATE $<BUILD_INTERFACE:${lib}>)
  endforeach()
  if(ATTEND_WITH_TORCH)
    target_link_libraries(attend PUBLIC $<BUILD_INTERFACE:attend_torch> $<INSTALL_INTERFACE:attend::torch>)
  endif()
  set_target_properties(attend PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
    INSTALL_RPATH "$ORIGIN;${ATTEND_TORCH_LIB_DIR}")
endfunction()
