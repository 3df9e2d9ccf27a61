# The doctor tells of Vulkan where this build has it.
if(TARGET tl_gpu)
    target_compile_definitions(tl_run PRIVATE TILLER_HAVE_VULKAN)
endif()
# The loop that measures the peak leans on fused multiply-add, which ISO C mode switches off by default.
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/run/bench_peak.c PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
