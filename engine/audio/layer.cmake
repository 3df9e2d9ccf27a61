target_link_libraries(tl_audio PRIVATE PkgConfig::SOXR PkgConfig::FFTW)
