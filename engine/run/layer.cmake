# The doctor tells of Vulkan where this build has it.
if(TARGET tl_gpu)
    target_compile_definitions(tl_run PRIVATE TILLER_HAVE_VULKAN)
endif()
