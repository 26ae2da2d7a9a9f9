include(GoogleTest)

# What every translation unit of the project is compiled with.
add_library(vmigrate_options INTERFACE)
target_compile_options(vmigrate_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
configure_file(${PROJECT_SOURCE_DIR}/src/vmigrate_version.hpp.in ${PROJECT_BINARY_DIR}/generated/vmigrate_version.hpp)
# Enough for a backtrace; what a debugger wants besides is in the debug build, and costs every build a sixth of its time.
target_compile_options(vmigrate_options INTERFACE $<$<CONFIG:RelWithDebInfo>:-g1>)
# The release build compiles several files of a module as one, in half the time. Names in their unnamed namespaces meet
# there, and have to be different in a whole module: which files become one is nobody's choice. All other builds compile
# each file by itself, and so does `tools/dev lint`.
if(CMAKE_UNITY_BUILD)
  # A class that a header only names looks as if the header defined it.
  target_compile_options(vmigrate_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
target_include_directories(vmigrate_options INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(vmigrate_options INTERFACE Threads::Threads)

# vmigrate_module(NAME SOURCES file... USES target...): the library of src/NAME, target vmigrate_NAME.
function(vmigrate_module name)
  cmake_parse_arguments(PARSE_ARGV 1 module "" "" "SOURCES;USES")
  add_library(vmigrate_${name} STATIC ${module_SOURCES})
  target_link_libraries(vmigrate_${name} PUBLIC vmigrate_options ${module_USES})
endfunction()

# vmigrate_test(NAME SOURCES file... USES target...): a GoogleTest program whose cases ctest knows one by one.
# What needs root, network namespaces or QEMU is labelled with LABELS, so that a developer can leave it out.
function(vmigrate_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "" "" "SOURCES;USES;LABELS")
  add_executable(${name} ${test_SOURCES})
  target_link_libraries(${name} PRIVATE vmigrate_options ${test_USES} GTest::gmock GTest::gtest_main)
  # A third of the time that compiling them takes goes into making them faster.
  target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120 LABELS "${test_LABELS}")
endfunction()
