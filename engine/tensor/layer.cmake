# The fast float kernels lean on fused multiply-add, which ISO C mode switches off by default.
file(GLOB tl_cpu_fast_sources ${CMAKE_CURRENT_SOURCE_DIR}/tensor/cpu_fast*.c)
set_source_files_properties(${tl_cpu_fast_sources} PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
