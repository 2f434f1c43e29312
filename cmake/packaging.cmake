# packaging: what `cmake --install` puts where, how CMake and pkg-config find it, and the Debian package.
#
#   bin/moat-run  bin/moat-report  lib/libmoat.so*  lib/libmoat.a  lib/moat.o  include/moat.h  lib/cmake/moat  lib/pkgconfig/moat.pc
#   share/man/man1 man3 man7
#
# Only the hardened, unsanitized library may leave the build tree.

if(MOAT_SANITIZE OR NOT moat_defences EQUAL moat_defences_all)
    if(MOAT_SANITIZE)
        set(reason "a sanitized build has no library that could replace malloc")
    elseif(MOAT_HARDENING)
        set(reason "this build has a part of the hardening only (MOAT_DEFENCES) and is for measurements only")
    else()
        set(reason "this build has no hardening (MOAT_HARDENING=OFF) and is for measurements only")
    endif()
    install(CODE "message(FATAL_ERROR \"moat is not installed: ${reason}. Configure with -DMOAT_HARDENING=ON -DMOAT_SANITIZE=.\")")
    return()
endif()

include(CMakePackageConfigHelpers)

install(TARGETS moat_shared moat_static moat_object EXPORT moat-targets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${moat_object}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/include/moat.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS moat-run RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(PROGRAMS "${PROJECT_BINARY_DIR}/moat-report" DESTINATION "${CMAKE_INSTALL_BINDIR}")
foreach(section 1 3 7)
    file(GLOB moat_pages "${PROJECT_SOURCE_DIR}/doc/*.${section}")
    install(FILES ${moat_pages} DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
foreach(document README.md SECURITY.md CHANGELOG.md)
    install(FILES "${PROJECT_SOURCE_DIR}/${document}" DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)
endforeach()

set(moat_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/moat")
install(EXPORT moat-targets NAMESPACE moat:: DESTINATION "${moat_config_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/moat-config.cmake.in" "${PROJECT_BINARY_DIR}/moat-config.cmake"
                              INSTALL_DESTINATION "${moat_config_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/moat-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/moat-config.cmake" "${PROJECT_BINARY_DIR}/moat-config-version.cmake"
        DESTINATION "${moat_config_dir}")

# pkg-config reads paths relative to the .pc file, so that an installation can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(moat_pc_prefix "${CMAKE_INSTALL_PREFIX}")
    set(moat_pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
    set(moat_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
    file(RELATIVE_PATH moat_pc_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" moat_pc_up "${moat_pc_up}")
    set(moat_pc_prefix "\${pcfiledir}/${moat_pc_up}")
    set(moat_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(moat_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/moat.pc.in" "${PROJECT_BINARY_DIR}/moat.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/moat.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME moat)
set(CPACK_PACKAGE_VENDOR "moat contributors")
set(CPACK_PACKAGE_CONTACT "moat contributors <moat@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# of moat-report
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3, binutils | llvm")
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
include(CPack)
