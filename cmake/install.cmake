# `cmake --install build`: the program, the library, the public headers, a pkg-config file.
include(GNUInstallDirs)
if(TARGET tiller_program)
    install(TARGETS tiller_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET tiller)
    install(TARGETS tiller ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/tiller DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The prefix is found from where the file lies, so that --prefix at install time and moved trees work.
file(RELATIVE_PATH TILLER_PC_TO_PREFIX /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
configure_file(${CMAKE_SOURCE_DIR}/cmake/tiller.pc.in ${CMAKE_BINARY_DIR}/tiller.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tiller.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
