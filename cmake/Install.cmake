# SPDX-License-Identifier: Apache-2.0
#
# Install rules: the static library, its headers, the CMake package and the pkg-config file.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(waybill_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/waybill")

install(TARGETS waybill EXPORT waybillTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT Development
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT Development)
install(EXPORT waybillTargets NAMESPACE waybill:: DESTINATION "${waybill_cmake_dir}" COMPONENT Development)

configure_package_config_file(cmake/waybillConfig.cmake.in "${PROJECT_BINARY_DIR}/waybillConfig.cmake"
                              INSTALL_DESTINATION "${waybill_cmake_dir}" NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break its users, and says so in the changelog.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/waybillConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/waybillConfig.cmake" "${PROJECT_BINARY_DIR}/waybillConfigVersion.cmake"
        DESTINATION "${waybill_cmake_dir}" COMPONENT Development)

list(JOIN waybill_sanitizer_options " " waybill_pc_sanitizer_options)
# The prefix is found from where the file lies, so that a moved or staged install works; an absolute library folder is a
# fixed place.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(waybill_pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH waybill_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  set(waybill_pc_prefix "\${pcfiledir}/${waybill_pc_prefix}")
endif()
cmake_path(APPEND waybill_pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
cmake_path(APPEND waybill_pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
configure_file(cmake/waybill.pc.in "${PROJECT_BINARY_DIR}/waybill.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/waybill.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT Development)
