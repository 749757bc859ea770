# Debian's packages by their own CMake files; LibTorch and Arrow out of the wheels that scripts/setup unpacked.
set(SOTTO_DEPS ${PROJECT_SOURCE_DIR}/.deps/site CACHE PATH "where scripts/setup unpacked the wheels")
if(NOT EXISTS ${SOTTO_DEPS}/torch OR NOT EXISTS ${SOTTO_DEPS}/pyarrow)
  message(FATAL_ERROR "LibTorch and Arrow are not in ${SOTTO_DEPS}; run scripts/setup first (make does it for you)")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(Threads REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_library(SODIUM_LIBRARY sodium REQUIRED)
find_path(TOMLPP_INCLUDE toml++/toml.h REQUIRED)

add_library(sodium INTERFACE IMPORTED)
target_link_libraries(sodium INTERFACE ${SODIUM_LIBRARY})
add_library(tomlplusplus INTERFACE IMPORTED)
target_include_directories(tomlplusplus SYSTEM INTERFACE ${TOMLPP_INCLUDE})

include(${CMAKE_CURRENT_LIST_DIR}/torch.cmake)

set(SOTTO_CUDART)
if(SOTTO_HAS_CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(SOTTO_CUDART CUDA::cudart)
endif()
set(SOTTO_PLOTLY ${SOTTO_DEPS}/plotly/package_data/plotly.min.js)
