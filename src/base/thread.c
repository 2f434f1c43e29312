/*
 * thread: the thread's word, and whether it can be trusted yet (see thread.h).
 *
 * A harness keeps the words of its threads itself.
 */
#include "base/thread.h"

#ifndef MOAT_HARNESS
__thread uintptr_t moat_thread_word = THREAD_NEW;
#endif

__thread uint32_t moat_thread_frees;

const volatile void *volatile moat_thread_self = &moat_thread_self;

uint32_t moat_ending;

static bool settled;

void thread_settle(void) { settled = true; }

bool thread_is_early(uintptr_t word) { return !thread_is_relocated() || (word == 0 && !settled); }
