/*
 * init: from nothing to a working allocator, once; and what a forked child does.
 *
 * The slow paths of the verbs call these; everything below this folder takes the tables for
 * granted. ro_is_started() (meta/ro.h) tells whether init_once() has succeeded.
 */
#ifndef MOAT_INIT_H
#define MOAT_INIT_H

#include "base/base.h"

/* Idempotent, thread-safe, before constructors too. May run before initialisation: it is that.
   False: no memory to start with, tried again at the next call. */
bool init_once(void);

/* In a forked child: whoever was at it did not come along. */
void init_forget(void);

/* In a forked child that finds its mark wiped, one thread puts the state in order, and others
   wait. */
void fork_recover(void);

/* A hook (see src/README.md): ends the process when a sanitizer's allocator is in it. Not there in
   a prefixed build, which may run beside one. */
extern void moat_refuse_sanitizers(void) __attribute__((weak, visibility("hidden")));

#endif
