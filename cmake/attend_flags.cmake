# Compiler settings shared by every target, target-scoped through attend_flags (never global, never -march=native,
# never -ffast-math: NaN and infinity carry meaning here).
if(NOT CMAKE_BUILD_TYPE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")   # src/kernels asks for -O3 itself; elsewhere -O3 only costs build time
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ${PROJECT_IS_TOP_LEVEL})
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")

find_program(ATTEND_CCACHE ccache)
if(ATTEND_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros "${ATTEND_CCACHE}")
endif()
find_program(ATTEND_MOLD mold)

add_library(attend_flags INTERFACE)
target_compile_features(attend_flags INTERFACE cxx_std_20)
target_compile_options(attend_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unknown-pragmas
  $<$<BOOL:${ATTEND_WERROR}>:-Werror>)
target_compile_options(attend_flags INTERFACE -fPIC)   # programs too: precompiled headers are shared with them
target_include_directories(attend_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")   # private headers: "room/name.h"
if(ATTEND_MOLD)
  target_link_options(attend_flags INTERFACE -fuse-ld=mold)
endif()
if(ATTEND_SANITIZE)   # all targets but those that set ATTEND_UNSANITIZED
  string(REPLACE "," "$<COMMA>" sanitizers "${ATTEND_SANITIZE}")
  set(sanitized "$<NOT:$<BOOL:$<TARGET_PROPERTY:ATTEND_UNSANITIZED>>>")
  target_compile_options(attend_flags INTERFACE "$<${sanitized}:-fsanitize=${sanitizers}>" -fno-omit-frame-pointer -g1
    "$<${sanitized}:-fno-sanitize-recover=all>")
  target_link_options(attend_flags INTERFACE "$<${sanitized}:-fsanitize=${sanitizers}>")
endif()
