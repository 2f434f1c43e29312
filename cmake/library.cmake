# library: the shipped library in its three forms, moat-run and moat-report.
#
#   moat.o       every object in one, hidden names made local: nothing of moat can clash with a name of the program, and a fully
#                static program gets the whole malloc family at once instead of half of it from the C library
#   libmoat.a    moat.o in an archive
#   libmoat.so   to preload or to link; with a dlopen of its own

add_library(moat_objects OBJECT ${moat_core_sources} ${moat_override_sources})
target_link_libraries(moat_objects PRIVATE moat_library_flags moat_public_flags)
foreach(source ${moat_override_sources})
    if(source MATCHES "api/new\\.c$")
        # std::bad_alloc passes through these frames.
        set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "-fexceptions")
    endif()
endforeach()

# For the shared library alone: dlopen. Its name is assembler, a file for each processor; on another one dlopen is left alone.
set(moat_dlopen_source "${PROJECT_SOURCE_DIR}/src/api/dlopen_${CMAKE_SYSTEM_PROCESSOR}.S")
if(EXISTS "${moat_dlopen_source}")
    enable_language(ASM)
    add_library(moat_preload_objects OBJECT ${moat_preload_sources} "${moat_dlopen_source}")
    target_link_libraries(moat_preload_objects PRIVATE moat_library_flags moat_public_flags)
    set(moat_preload_object_files $<TARGET_OBJECTS:moat_preload_objects>)
else()
    message(STATUS "moat: no ${moat_dlopen_source}: libmoat.so leaves RTLD_DEEPBIND to dlopen")
    set(moat_preload_object_files "")
endif()

set(moat_object "${PROJECT_BINARY_DIR}/moat.o")
set(moat_object_raw "${PROJECT_BINARY_DIR}/CMakeFiles/moat-raw.o")
add_custom_command(
    OUTPUT "${moat_object}"
    COMMAND "${CMAKE_LINKER}" -r -o "${moat_object_raw}" $<TARGET_OBJECTS:moat_objects>
    COMMAND "${CMAKE_OBJCOPY}" --localize-hidden "${moat_object_raw}" "${moat_object}"
    DEPENDS moat_objects $<TARGET_OBJECTS:moat_objects>
    COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Joining moat.o")
add_custom_target(moat_object_file ALL DEPENDS "${moat_object}")

set_source_files_properties("${moat_object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(moat_static STATIC "${moat_object}")
add_dependencies(moat_static moat_object_file)
set_target_properties(moat_static PROPERTIES OUTPUT_NAME moat LINKER_LANGUAGE C EXPORT_NAME static
                      ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")

add_library(moat_shared SHARED $<TARGET_OBJECTS:moat_objects> ${moat_preload_object_files})
set_target_properties(moat_shared PROPERTIES OUTPUT_NAME moat VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LINKER_LANGUAGE C EXPORT_NAME shared LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
# A library that owns live blocks may never be unloaded; nothing is bound lazily, and the tables of pointers become read-only.
target_link_options(moat_shared PRIVATE LINKER:-z,now LINKER:-z,relro LINKER:-z,nodelete LINKER:-z,defs LINKER:-z,noexecstack
                    LINKER:--build-id LINKER:--hash-style=gnu)
target_link_libraries(moat_shared PRIVATE Threads::Threads ${CMAKE_DL_LIBS})

add_library(moat_object INTERFACE)
set_target_properties(moat_object PROPERTIES EXPORT_NAME object)
add_dependencies(moat_object moat_object_file)
target_link_libraries(moat_object INTERFACE "$<BUILD_INTERFACE:${moat_object}>"
                      "$<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_LIBDIR}/moat.o>" Threads::Threads)

# A program that reaches malloc only through the C library (strdup, getline...) must still get moat out of the archive.
target_link_options(moat_static INTERFACE LINKER:-u,malloc)
target_link_libraries(moat_static INTERFACE Threads::Threads)
# In a static C++ program moat's weak references alone would not bring in what operator new throws std::bad_alloc with.
foreach(target moat_static moat_object)
    target_link_options(${target} INTERFACE
                        "$<$<LINK_LANGUAGE:CXX>:LINKER:-u,_ZSt17__throw_bad_allocv,-u,_ZSt15get_new_handlerv>")
endforeach()
# ... and the linker must not drop the shared library as unused.
target_link_options(moat_shared INTERFACE LINKER:--no-as-needed)
foreach(target moat_static moat_shared moat_object)
    target_include_directories(${target} INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                               "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endforeach()
add_library(moat::static ALIAS moat_static)
add_library(moat::shared ALIAS moat_shared)
add_library(moat::object ALIAS moat_object)

# The reader of reports needs no compiler, only its version.
configure_file("${PROJECT_SOURCE_DIR}/tools/moat-report.py" "${PROJECT_BINARY_DIR}/moat-report" @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

if(EXISTS "${PROJECT_SOURCE_DIR}/tools/moat-run.c")
    file(RELATIVE_PATH moat_libdir_from_bindir "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
    add_executable(moat-run tools/moat-run.c)
    target_compile_definitions(moat-run PRIVATE MOAT_LIBRARY="$<TARGET_SONAME_FILE_NAME:moat_shared>"
                               MOAT_LIBDIR_FROM_BINDIR="${moat_libdir_from_bindir}" MOAT_VERSION="${PROJECT_VERSION}")
    target_link_libraries(moat-run PRIVATE moat_warnings)
    set_target_properties(moat-run PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
    add_dependencies(moat-run moat_shared)
endif()
