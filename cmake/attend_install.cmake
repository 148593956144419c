# install(EXPORT) with config and version files, so that find_package(attend CONFIG) gives attend::attend; pkg-config; CPack.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/attend")

install(TARGETS attend EXPORT attendTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/attend DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT attendTargets NAMESPACE attend:: DESTINATION "${config_dir}")
configure_package_config_file(cmake/attendConfig.cmake.in "${PROJECT_BINARY_DIR}/attendConfig.cmake"
  INSTALL_DESTINATION "${config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/attendConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/attendConfig.cmake" "${PROJECT_BINARY_DIR}/attendConfigVersion.cmake"
  DESTINATION "${config_dir}")
if(ATTEND_WITH_TORCH)
  install(FILES cmake/attend_torch.cmake DESTINATION "${config_dir}")
endif()
configure_file(cmake/attend.pc.in "${PROJECT_BINARY_DIR}/attend.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/attend.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(TARGET attend_program)
  # The library beside the program, then the libtorch it was built against: no environment variable is needed.
  set_target_properties(attend_program PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${ATTEND_TORCH_LIB_DIR}")
  install(TARGETS attend_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

set(CPACK_PACKAGE_CONTACT "attend maintainers <maintainers@attend.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)   # libtorch comes from a wheel, which dpkg-shlibdeps cannot name
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_SOURCE_DIR}/build/package")
if(PROJECT_IS_TOP_LEVEL)
  include(CPack)
endif()
