target_link_libraries(tl_metrics PRIVATE PkgConfig::LAPACKE)
