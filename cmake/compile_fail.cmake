# tests/compile_fail: programs that go around the private step, or around a budget. The compiler must refuse every line
# that says so, with the message given there, and accept the controls. Syntax and types only: seconds. The engine's take its
# precompiled header.
function(sotto_compile_fail_tests)
  if(NOT SOTTO_TESTS)
    return()
  endif()
  string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${config}} -std=c++20 -fPIC")
  if(SOTTO_SANITIZE)
    list(APPEND flags -fsanitize=${SOTTO_SANITIZE} -fno-omit-frame-pointer)
  endif()
  set(engine "-isystem$<JOIN:$<TARGET_PROPERTY:sotto_torch,INTERFACE_INCLUDE_DIRECTORIES>,;-isystem>"
             -include ${PROJECT_BINARY_DIR}/CMakeFiles/sotto_engine.dir/cmake_pch.hxx)
  foreach(name wrong control wrong_budget control_budget)
    set(headers ${engine})
    if(name MATCHES "budget")
      set(headers)
    endif()
    add_test(NAME compile_fail.${name} COMMAND_EXPAND_LISTS
      COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/compile_fail/check_errors.py
              ${PROJECT_SOURCE_DIR}/tests/compile_fail/${name}.cpp ${CMAKE_CXX_COMPILER} ${flags} -I${PROJECT_SOURCE_DIR}
              ${headers} -fsyntax-only -fdiagnostics-color=never)
    set_tests_properties(compile_fail.${name} PROPERTIES TIMEOUT 300)
  endforeach()
endfunction()
