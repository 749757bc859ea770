# LibTorch and Arrow as imported targets. The wheel's own TorchConfig stops where there is no CUDA, and its GPU code is
# 1 GB that a run on the CPU need not load: sotto links libtorch_cpu and loads libtorch_cuda when a run asks for a GPU.
# Also read by the installed package.
function(sotto_import name)
  cmake_parse_arguments(A "" "LIBRARY" "INCLUDES;LINKS" ${ARGN})
  if(NOT TARGET ${name})
    add_library(${name} SHARED IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION ${A_LIBRARY})
    target_include_directories(${name} SYSTEM INTERFACE ${A_INCLUDES})
    target_link_libraries(${name} INTERFACE ${A_LINKS})
  endif()
endfunction()

set(_torch ${SOTTO_DEPS}/torch)
sotto_import(sotto_c10 LIBRARY ${_torch}/lib/libc10.so INCLUDES ${_torch}/include)
sotto_import(sotto_torch LIBRARY ${_torch}/lib/libtorch_cpu.so
  INCLUDES ${_torch}/include ${_torch}/include/torch/csrc/api/include LINKS sotto_c10)
# libtorch_cpu of this wheel needs CUDA's small profiling and runtime libraries even on a CPU.
set(SOTTO_RUNTIME_FOLDERS ${_torch}/lib ${SOTTO_DEPS}/pyarrow)
foreach(folder ${SOTTO_DEPS}/nvidia/cu13/lib /usr/local/cuda/lib64 /usr/local/cuda/extras/CUPTI/lib64 /usr/local/cuda/lib)
  if(EXISTS ${folder})
    list(APPEND SOTTO_RUNTIME_FOLDERS ${folder})
  endif()
endforeach()

file(GLOB _arrow ${SOTTO_DEPS}/pyarrow/libarrow.so.*)
file(GLOB _parquet ${SOTTO_DEPS}/pyarrow/libparquet.so.*)
sotto_import(sotto_libarrow LIBRARY ${_arrow} INCLUDES ${SOTTO_DEPS}/pyarrow/include)
sotto_import(sotto_arrow LIBRARY ${_parquet} INCLUDES ${SOTTO_DEPS}/pyarrow/include LINKS sotto_libarrow)

# One OpenMP runtime in the process: the one that LibTorch brings (same SONAME as Debian's).
if(NOT TARGET sotto_openmp)
  add_library(sotto_openmp INTERFACE IMPORTED GLOBAL)
  target_link_libraries(sotto_openmp INTERFACE ${_torch}/lib/libgomp.so.1)
endif()
