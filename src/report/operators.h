/*
 * operators: whether a module of this process may have C++ operators new and delete of its own.
 *
 * Who compiles a C++ runtime into a library has a second operator new in the process. As a rule it
 * stands on malloc; so a block that it has made is one of malloc's for moat, and if it is deleted
 * elsewhere, by moat's delete, or the other way round, then families seem to cross though nothing
 * is wrong. A report on families is true only where there is no such module.
 *
 * What tells: a module that exports operators and binds its own calls to them, or exports some of
 * them alone; one that allocates, takes no operator from outside, and is C++, by the names it
 * imports and exports, or has C++'s exception for a lack of memory in its read-only parts; and one
 * that throws this exception itself and takes no plain operator new. A library that exports all of
 * them and lets the loader decide, as C++ runtimes themselves do, uses moat's. Nothing is known of
 * a module that hides others than that, and imports some.
 */
#ifndef MOAT_OPERATORS_H
#define MOAT_OPERATORS_H

#include "report/module.h"

/* True also where it cannot be told. `seen`: 0, or as an earlier call has left it that returned
   false, and then nothing is read again of modules that were there. Async-signal-safe, allocates
   nothing, one caller at a time; takes milliseconds, some 20 beside large libraries. Modules are
   read through the kernel alone, since other threads may unmap them. The table is reset. */
bool operators_elsewhere(struct module_table *modules, uint64_t *seen);

#endif
