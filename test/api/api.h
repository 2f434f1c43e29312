/*
 * api: what the contract tests share; for C and C++.
 *
 * Each program here runs twice: linked with libmoat.so, and plain with the library preloaded. So it
 * names no function of moat's own at link time (family.h finds them), and begins with
 * require_moat(): a test that runs on another allocator fails.
 */
#ifndef TEST_API_H
#define TEST_API_H

#ifdef __cplusplus
#define _Noreturn [[noreturn]]
extern "C" {
#endif

#include "family.h"
#include "require.h"

/* Finds moat's functions and fails unless malloc() is moat's. Calls alarm(): a test that hangs is
   ended by SIGALRM. */
void require_moat(unsigned limit_seconds);

/* Runs `act(argument)` in a child. Requires that it ends by a report of this kind with exactly this
   phrase and by SIGABRT. */
void require_report(const char *kind, const char *what, void (*act)(void *), void *argument);
/* Runs it in a child and requires exit status 0 within `limit_seconds`; `name` is for the
   message. */
void require_child_succeeds(const char *name, unsigned limit_seconds, void (*act)(void *),
                            void *argument);
/* The parts: status as waitpid() gives it, standard error as text. */
int run_child(unsigned limit_seconds, void (*act)(void *), void *argument, char *text,
              size_t capacity);

/* True when the byte there cannot be read, as the kernel sees it. */
bool is_inaccessible(const void *address);
/* Waits for one process and requires exit status 0. */
void require_exit_zero(int process, const char *name);

#ifdef __cplusplus
}
#undef _Noreturn
#endif

#endif
