/*
 * thread: the thread's word (see thread.h).
 *
 * A harness keeps the words of its threads itself.
 */
#include "base/thread.h"

#ifndef MOAT_HARNESS
__thread uintptr_t moat_thread_word = THREAD_NEW;
#endif
