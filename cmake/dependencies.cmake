# Debian's packages, and LibTorch and Arrow out of the wheels that scripts/setup unpacked.
set(SOTTO_DEPS ${PROJECT_SOURCE_DIR}/.deps/site CACHE PATH "where scripts/setup unpacked the wheels")
if(NOT EXISTS ${SOTTO_DEPS}/torch OR NOT EXISTS ${SOTTO_DEPS}/pyarrow)
  message(FATAL_ERROR "LibTorch and Arrow are not in ${SOTTO_DEPS}; run scripts/setup first (make does it for you)")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(CLI11 REQUIRED)
include(${CMAKE_CURRENT_LIST_DIR}/packages.cmake)
set(SOTTO_PLOTLY ${SOTTO_DEPS}/plotly/package_data/plotly.min.js)
