/*
 * watch: plain data that two virtual threads touch without an order between them.
 *
 * views.h says what a load of a shared word may give. What plain data holds is always the newest,
 * so an acquire or a release that orders plain data alone is missed by no value. Here each plain
 * access is noted with the clock of its thread, and one that meets another thread's, one of the two
 * a write, must have it in its view: by C11 the program is wrong otherwise, whatever happened.
 *
 * Accesses are announced by the compiler: src/ is built for ThreadSanitizer, and the calls that its
 * passes put in lead here and not to its library. Addresses outside of the arena are left out:
 * stacks, and what one real thread has for all virtual ones. Whoever owns a block announces the
 * program's accesses to it himself. One real thread.
 */
#ifndef ENGINE_WATCH_H
#define ENGINE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_touch {
    unsigned thread;
    bool writes;
    const void *place; /* of the code that made it; NULL: the program's, to its own block */
};

/* Forgets all; nothing is watched until watch_on(). `on_race` does not return. */
void watch_begin(void (*on_race)(uintptr_t address, const struct watch_touch *earlier,
                                 const struct watch_touch *later));
/* Of accesses from now on; views.h must keep the clocks. */
void watch_on(bool on);
/* The accesses from now on are that thread's. */
void watch_thread(unsigned thread);
void watch_access(uintptr_t address, size_t size, bool writes, const void *place);
/* Whether the compiler announces anything in this program: some plain access has been seen. */
bool watch_is_told(void);

#endif
