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

set(SOTTO_LIBPQ)
if(SOTTO_HAS_POSTGRES)
  find_library(LIBPQ_LIBRARY pq REQUIRED)
  find_path(LIBPQ_INCLUDE libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
  if(NOT TARGET sotto_libpq)
    add_library(sotto_libpq INTERFACE IMPORTED)
    # Needed by programs that use a ledger, not by all that link the accountants.
    target_link_libraries(sotto_libpq INTERFACE -Wl,--push-state,--as-needed ${LIBPQ_LIBRARY} -Wl,--pop-state)
    target_include_directories(sotto_libpq SYSTEM INTERFACE ${LIBPQ_INCLUDE})
  endif()
  set(SOTTO_LIBPQ sotto_libpq)
endif()

set(SOTTO_CUDART)
if(SOTTO_HAS_CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(SOTTO_CUDART CUDA::cudart)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/torch.cmake)
