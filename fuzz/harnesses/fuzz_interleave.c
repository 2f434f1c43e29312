/*
 * fuzz_interleave: two to four virtual threads inside the allocator at once.
 *
 * A scheduler of the input's choice says before every access to a shared word, and at every system
 * call, which thread goes on; loads may be given values as old as the rules of C11 allow. Judged
 * is what fuzz_ops judges, and that the threads make progress. README.md has the schedulers.
 */
#define AT_ONCE_IS_WATCHED false
#include "engine/at_once.h"
