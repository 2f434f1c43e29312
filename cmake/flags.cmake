# flags: how everything is compiled.
#
#   moat_public_flags    what any consumer in this tree gets: include path, threads, the sanitizers
#   moat_library_flags   the library's own sources: no builtin malloc (the compiler must not turn malloc+memset into a call of
#                        calloc inside calloc), hidden names, one-word initial-exec TLS, no lazy binding
#   moat_warnings        every C source of the tree

find_package(Threads REQUIRED)

if(MOAT_SANITIZE MATCHES "[^a-z;-]")
    message(FATAL_ERROR "MOAT_SANITIZE is a list such as address;undefined, not '${MOAT_SANITIZE}'")
endif()
if(NOT MOAT_FUZZ MATCHES "^(|libfuzzer|aflpp|replay)$")
    message(FATAL_ERROR "MOAT_FUZZ is libfuzzer, aflpp or replay, not '${MOAT_FUZZ}'")
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_library(moat_warnings INTERFACE)
target_compile_options(moat_warnings INTERFACE -Wall -Wextra $<$<COMPILE_LANGUAGE:C>:-Wconversion> -Wshadow
                       $<$<BOOL:${MOAT_WERROR}>:-Werror>)

add_library(moat_public_flags INTERFACE)
target_include_directories(moat_public_flags INTERFACE "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(moat_public_flags INTERFACE moat_warnings Threads::Threads ${CMAKE_DL_LIBS})
if(MOAT_SANITIZE)
    string(REPLACE ";" "," moat_sanitizers "${MOAT_SANITIZE}")
    target_compile_options(moat_public_flags INTERFACE -fsanitize=${moat_sanitizers} -fno-sanitize-recover=all
                           -fno-omit-frame-pointer -g)
    target_link_options(moat_public_flags INTERFACE -fsanitize=${moat_sanitizers})
    target_compile_definitions(moat_public_flags INTERFACE MOAT_SANITIZED=1)
endif()

# The bits of MOAT_DEFENCES in src/base/base.h.
set(moat_defence_names map links busy order ro)
foreach(defence ${MOAT_DEFENCES})
    if(NOT defence STREQUAL "all" AND NOT defence IN_LIST moat_defence_names)
        message(FATAL_ERROR "MOAT_DEFENCES is all, or a list of ${moat_defence_names}; not '${defence}'")
    endif()
endforeach()
set(moat_defences_all 31)
set(moat_defences 0)
set(bit 1)
foreach(defence ${moat_defence_names})
    if(MOAT_HARDENING AND (MOAT_DEFENCES STREQUAL "all" OR defence IN_LIST MOAT_DEFENCES))
        math(EXPR moat_defences "${moat_defences} + ${bit}")
    endif()
    math(EXPR bit "${bit} * 2")
endforeach()

add_library(moat_library_flags INTERFACE)
target_include_directories(moat_library_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_compile_options(moat_library_flags INTERFACE -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-plt
                       -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free)
target_compile_definitions(moat_library_flags INTERFACE _GNU_SOURCE= MOAT_DEFENCES=${moat_defences})
