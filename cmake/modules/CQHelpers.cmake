# Helpers shared by every folder. All of cq links the shared libMLIR and libLLVM:
# a static component library beside them would give every TypeID a second copy.

# Numbers are part of the meaning of a model, so the compiler may neither contract
# a*b+c nor reassociate sums behind our back (design.md, section 4).
add_compile_options(-Wall -Wextra -Wno-unused-parameter -ffp-contract=off)
# Lets ccache tell two builds of the precompiled headers apart by content alone.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
if(CQ_WERROR)
  add_compile_options(-Werror)
endif()
if(CQ_BUILD_FUZZERS)
  set(CQ_SANITIZE ON)
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined)
endif()
if(CQ_SANITIZE)
  # `function` reads the type that clang writes in front of functions: in front of
  # compiled models there is none, and now and then not even a page.
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer
    -fno-sanitize=vptr,function)
  add_link_options(-fsanitize=address,undefined)
endif()

# cq_add_library(<name> SOURCES <files...> [LINK <libraries...>] [DEPENDS <targets...>])
# A static library of the tree; LINK lists say which way dependencies point. One that
# links MLIR shares the precompiled headers of lib/Precompiled.
function(cq_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  if("MLIR" IN_LIST ARG_LINK)
    target_precompile_headers(${name} REUSE_FROM CQPrecompiled)
  endif()
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

# cq_add_unittest(<name> SOURCES <files...> LINK <libraries...>)
# A GoogleTest program, found by lit's GoogleTest format under build/test/unittests.
function(cq_add_unittest name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test/unittests/${CMAKE_CFG_INTDIR})
  add_dependencies(CQUnitTests ${name})
endfunction()

# cq_add_folders()
# Adds the folders of lib here, those of them that exist: lib itself and its unit
# tests have the same. The order is the order of dependence (docs/Rationale.md): a
# folder links only folders above it.
function(cq_add_folders)
  foreach(dir
      Support
      Codec
      Solver
      Model
      Stats
      Measure
      Tuning
      Report
      Runtime
      Dialect
      Analysis
      Import
      Autodiff
      Transforms
      Conversion
      Pipelines
      GPUInterpreter
      DeviceCode
      Execution
      Inference
      Bench
      CAPI)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
      add_subdirectory(${dir})
    endif()
  endforeach()
endfunction()
