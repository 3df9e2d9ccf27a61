target_link_libraries(tl_models PRIVATE PkgConfig::UTF8PROC)
