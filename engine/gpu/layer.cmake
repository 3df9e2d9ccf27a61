# volk (header and implementation in one system header) over the loader found at run time; the embedded SPIR-V.
target_include_directories(tl_gpu SYSTEM PRIVATE ${VOLK_INCLUDE})
target_link_libraries(tl_gpu PUBLIC tl_shaders ${CMAKE_DL_LIBS})
