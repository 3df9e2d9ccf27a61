target_link_libraries(tl_io PUBLIC PkgConfig::CJSON PRIVATE PkgConfig::PNG PkgConfig::JPEG PkgConfig::WEBP PkgConfig::ZIP PkgConfig::SNDFILE)
