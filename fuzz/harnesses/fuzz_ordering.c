/*
 * fuzz_ordering: the programs of fuzz_interleave, with an eye on plain data.
 *
 * Whatever two virtual threads touch in the allocator's records, or in blocks that pass from one to
 * the other, and one of them writes, must be ordered by what they did to shared words: a missing
 * acquire or release shows in any run that comes by, whatever values it saw (engine/watch.h). src/
 * is built with ThreadSanitizer's passes for that, also where a service builds the engine for
 * another sanitizer. In builds with MOAT_SANITIZE it is not, and what is watched are the blocks
 * alone.
 */
#define AT_ONCE_IS_WATCHED true
#include "engine/at_once.h"
