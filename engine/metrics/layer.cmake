target_link_libraries(tl_metrics PRIVATE PkgConfig::LAPACKE)
# Products are fused multiply-adds here: the same bits on any machine of one kind, and twice the speed.
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/metrics/dense_product.c PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
