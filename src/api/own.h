/*
 * own: whether a public name still means moat's function (for malloc.c and new.c).
 *
 * A program may define single functions of a family itself; the rest of the family is then derived
 * from those, as the C library's manual and the C++ standard say. So a derived function asks
 * whether the one it stands on is moat's own, and calls it by its name if not: a block of the
 * program's allocator never reaches moat.
 */
#ifndef MOAT_OWN_H
#define MOAT_OWN_H

#include "base/base.h"

/* A second name of a function in the same file, with the attributes its prototype has. */
#if __has_attribute(copy)
#define NAME_SEEN(name, of, seen)                                                                  \
    extern __typeof(of) name __attribute__((alias(#of), copy(of), visibility(seen)))
#else
#define NAME_SEEN(name, of, seen)                                                                  \
    extern __typeof(of) name __attribute__((alias(#of), visibility(seen)))
#endif
/* One for the library alone, which nothing can replace, and one for everybody. */
#define OWN_NAME(name, of) NAME_SEEN(name, of, "hidden")
#define SECOND_NAME(name, of) NAME_SEEN(name, of, "default")

/* Whether the name still means the function, for the whole process. The compiler must not decide
   it: the linker does. In a program that is not position-independent and takes the address of the
   function, the answer is "no" and the call through the name leads to moat's all the same. */
#define IS_OWN(name, own)                                                                          \
    __extension__({                                                                                \
        __typeof(&(name)) seen_ = &(name);                                                         \
        __asm__("" : "+r"(seen_));                                                                 \
        MOAT_LIKELY(seen_ == &(own));                                                              \
    })

#endif
