# The fast float kernels lean on fused multiply-add, which ISO C mode switches off by default.
file(GLOB tl_cpu_fast_sources ${CMAKE_CURRENT_SOURCE_DIR}/tensor/cpu_fast*.c)
set_source_files_properties(${tl_cpu_fast_sources} PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
# The vulkan device is built where engine/gpu is.
file(GLOB tl_vulkan_sources ${CMAKE_CURRENT_SOURCE_DIR}/tensor/device_vulkan.c ${CMAKE_CURRENT_SOURCE_DIR}/tensor/exec_vulkan_*.c)
if(TILLER_VULKAN)
    target_compile_definitions(tl_tensor PUBLIC TILLER_HAVE_VULKAN)
else()
    set_source_files_properties(${tl_vulkan_sources} PROPERTIES HEADER_FILE_ONLY TRUE)
endif()
