# What `cmake --install BUILD [--component dev|tools|python]` installs.
#   dev     headers, the libraries of the dialect and its passes, CQConfig.cmake
#   tools   cq, cq-opt, the language server, CQPlugin.so, libcq_runtime.so, libcq-c.so
#   python  the package cq, with the C library it loads
# Libraries of the driver alone (execution, benchmarks, reports) are no interface.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(CQ_DEV_LIBRARIES CQSupport CQCodec CQSolver CQModel CQStats CQMeasure CQDialect
  CQAnalysis CQAutodiff CQDialectTransforms CQTransforms CQPipelines)
file(GLOB _conversions RELATIVE ${CMAKE_SOURCE_DIR}/lib/Conversion ${CMAKE_SOURCE_DIR}/lib/Conversion/*/CMakeLists.txt)
foreach(_file ${_conversions})
  get_filename_component(_folder ${_file} DIRECTORY)
  get_property(_targets DIRECTORY ${CMAKE_SOURCE_DIR}/lib/Conversion/${_folder} PROPERTY BUILDSYSTEM_TARGETS)
  list(APPEND CQ_DEV_LIBRARIES ${_targets})
endforeach()

install(TARGETS ${CQ_DEV_LIBRARIES} EXPORT CQTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.td" PATTERN "*.def")
install(DIRECTORY ${CMAKE_BINARY_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.inc" PATTERN "CMakeFiles" EXCLUDE)
set(_config ${CMAKE_INSTALL_LIBDIR}/cmake/CQ)
install(EXPORT CQTargets DESTINATION ${_config} COMPONENT dev)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/CQConfig.cmake.in
  ${CMAKE_BINARY_DIR}/cmake/CQConfig.cmake INSTALL_DESTINATION ${_config}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/CQConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cmake/CQConfig.cmake ${CMAKE_BINARY_DIR}/cmake/CQConfigVersion.cmake
  DESTINATION ${_config} COMPONENT dev)

# Wherever they are installed, LLVM and MLIR are where they were found.
set_target_properties(cq cq-opt cq-lsp-server CQPlugin cq_runtime cq-c PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}" INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS cq cq-opt cq-lsp-server CQPlugin cq_runtime cq-c
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT tools)

set(_python ${CMAKE_INSTALL_LIBDIR}/python3/dist-packages)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/python_bindings/cq DESTINATION ${_python} COMPONENT python
  PATTERN "__pycache__" EXCLUDE)
install(TARGETS cq-c LIBRARY DESTINATION ${_python}/cq COMPONENT python)
