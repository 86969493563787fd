# SPDX-License-Identifier: Apache-2.0
#
# cmake -Dbuild_dir=… -Dcompiler=… -Dwork_dir=… -P install_build_run.cmake
# Installs a build of waybill into an empty prefix, builds the consumer against that prefix alone, once through
# find_package and once through pkg-config, and runs both.
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(prefix "${work_dir}/prefix")
file(REMOVE_RECURSE "${work_dir}")
file(MAKE_DIRECTORY "${work_dir}/run-cmake" "${work_dir}/run-pkg-config")
run("${CMAKE_COMMAND}" --install "${build_dir}" --prefix "${prefix}")

run("${CMAKE_COMMAND}" -G Ninja -S "${CMAKE_CURRENT_LIST_DIR}" -B "${work_dir}/build"
    "-DCMAKE_CXX_COMPILER=${compiler}" "-DCMAKE_PREFIX_PATH=${prefix}")
run("${CMAKE_COMMAND}" --build "${work_dir}/build")
run("${work_dir}/build/consumer" "${work_dir}/run-cmake")

file(GLOB_RECURSE pc_file "${prefix}/*/waybill.pc")
cmake_path(GET pc_file PARENT_PATH pc_dir)
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env "PKG_CONFIG_PATH=${pc_dir}" pkg-config --cflags --libs waybill
  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
run("${compiler}" -std=c++20 "${CMAKE_CURRENT_LIST_DIR}/main.cpp" ${flags} -o "${work_dir}/consumer")
run("${work_dir}/consumer" "${work_dir}/run-pkg-config")
