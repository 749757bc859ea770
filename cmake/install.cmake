# cmake --install: the program, the libraries with their headers, and the files that find_package(sotto) reads. LibTorch
# and Arrow are not copied: 1 GB that scripts/setup puts where SOTTO_DEPS says.
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY SOTTO_LAYERS)
string(REGEX MATCHALL "[a-z_]+:" folders "${layers}")
list(TRANSFORM folders REPLACE ":" "")
foreach(folder ${folders})
  if(TARGET sotto_${folder})
    set_target_properties(sotto_${folder} PROPERTIES EXPORT_NAME ${folder})
    install(TARGETS sotto_${folder} EXPORT sottoTargets ARCHIVE DESTINATION lib)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION include/sotto
            FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
  endif()
endforeach()
if(TARGET sotto)
  set_target_properties(sotto PROPERTIES INSTALL_RPATH "${SOTTO_RUNTIME_FOLDERS};$ORIGIN/../lib")
  install(TARGETS sotto RUNTIME DESTINATION bin)
endif()
if(TARGET sotto_torch_graph)
  set_target_properties(sotto_torch_graph PROPERTIES INSTALL_RPATH "${SOTTO_RUNTIME_FOLDERS}")
  install(TARGETS sotto_torch_graph LIBRARY DESTINATION lib)
endif()
if(TARGET sotto_ops)
  set_target_properties(sotto_ops PROPERTIES INSTALL_RPATH "${SOTTO_RUNTIME_FOLDERS}")
  install(TARGETS sotto_ops LIBRARY DESTINATION lib)
endif()
if(TARGET sotto_accounting)
  install(TARGETS sotto_accounting LIBRARY DESTINATION lib)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/python/sotto DESTINATION lib/python FILES_MATCHING PATTERN "*.py")
endif()

set(package_folder lib/cmake/sotto)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/sottoConfig.cmake.in ${PROJECT_BINARY_DIR}/sottoConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sottoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sottoConfig.cmake ${PROJECT_BINARY_DIR}/sottoConfigVersion.cmake
        ${CMAKE_CURRENT_LIST_DIR}/packages.cmake ${CMAKE_CURRENT_LIST_DIR}/torch.cmake DESTINATION ${package_folder})
install(EXPORT sottoTargets NAMESPACE sotto:: DESTINATION ${package_folder})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE DESTINATION share/doc/sotto)

# A project outside the tree finds the installed package, builds against it and runs. Not with sanitizers: their runtime
# would have to be the consumer's, too.
if(SOTTO_TESTS AND NOT SOTTO_SANITIZE)
  add_test(NAME install.ProjectOutsideTheTreeBuildsAndRuns
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}/examples/consumer
                   -DCOMPILER=${CMAKE_CXX_COMPILER} -P ${CMAKE_CURRENT_LIST_DIR}/test_install.cmake)
  set_tests_properties(install.ProjectOutsideTheTreeBuildsAndRuns PROPERTIES LABELS slow TIMEOUT 300)
endif()
