# SPDX-License-Identifier: Apache-2.0
#
# waybill_build_flags: warnings and sanitizers for everything built here. It is never installed; a library built with a
# sanitizer tells its users the link option they need (waybill_sanitizer_options).
if(WAYBILL_ASAN AND WAYBILL_TSAN)
  message(FATAL_ERROR "WAYBILL_ASAN and WAYBILL_TSAN exclude each other: build twice, see CMakePresets.json")
endif()

set(waybill_sanitizer_options "")
if(WAYBILL_ASAN)
  set(waybill_sanitizer_options -fsanitize=address,undefined)
elseif(WAYBILL_TSAN)
  set(waybill_sanitizer_options -fsanitize=thread)
endif()

add_library(waybill_build_flags INTERFACE)
target_compile_options(waybill_build_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlapping copies in any `"text" + std::string` once it optimises (its bug 105651).
  target_compile_options(waybill_build_flags INTERFACE -Wno-restrict)
endif()
if(WAYBILL_WERROR)
  target_compile_options(waybill_build_flags INTERFACE -Werror)
endif()
if(waybill_sanitizer_options)
  target_compile_options(waybill_build_flags INTERFACE ${waybill_sanitizer_options} -fno-omit-frame-pointer)
  target_link_options(waybill_build_flags INTERFACE ${waybill_sanitizer_options})
endif()
if(WAYBILL_ASAN)
  # Undefined behaviour ends the test; without this it would only be printed.
  target_compile_options(waybill_build_flags INTERFACE -fno-sanitize-recover=all)
endif()
if(WAYBILL_TSAN AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC warns of every std::atomic_thread_fence in headers that we do not own.
  target_compile_options(waybill_build_flags INTERFACE -Wno-tsan)
endif()
