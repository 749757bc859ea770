# What the libraries link against: Debian's packages by their own CMake files, LibTorch and Arrow out of the wheels.
# Also read by the installed package.
find_package(Threads REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_library(SODIUM_LIBRARY sodium REQUIRED)
find_path(TOMLPP_INCLUDE toml++/toml.h REQUIRED)

if(NOT TARGET sodium)
  add_library(sodium INTERFACE IMPORTED)
  target_link_libraries(sodium INTERFACE ${SODIUM_LIBRARY})
endif()
if(NOT TARGET tomlplusplus)
  add_library(tomlplusplus INTERFACE IMPORTED)
  target_include_directories(tomlplusplus SYSTEM INTERFACE ${TOMLPP_INCLUDE})
endif()

set(SOTTO_CUDART)
if(SOTTO_HAS_CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(SOTTO_CUDART CUDA::cudart)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/torch.cmake)
