/*
 * attack: known techniques against an allocator, played by a program that runs under any.
 *
 * Each technique is one function that does one attempt and says how it ended; a defence that stops
 * it ends the process. The attempt is won only if the attacker holds what he wanted: memory that is
 * somebody else's, a block at a place of his choice, the contents of an object that is gone. What
 * he may do is in the table: write into freed blocks, read them, free what he holds twice.
 */
#ifndef TEST_ATTACK_H
#define TEST_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; every other end of the process means that the attack was stopped. */
enum outcome { WON = 0, IN_VAIN = 40, IMPOSSIBLE = 41 };

struct attack {
    const char *name;
    enum outcome (*attempt)(void);
    const char *what; /* for --list */
};

extern const struct attack link_attacks[], reuse_attacks[], free_attacks[], layout_attacks[];

/* Blocks by the names that a preloaded library has taken over; sizes in bytes. Never NULL: without
   memory the process ends. */
void *take(size_t size);
/* The compiler knows neither where the pointer comes from nor that it is dead. */
void *launder(void *pointer);
void give(void *block);

/* Uniform in [0, bound), other numbers in every process. */
uint32_t draw(uint32_t bound);

/* Whether the byte can be read, asked of the kernel. */
bool is_readable(const void *address);
/* Whether each byte from `from` up to `to` can be. */
bool all_readable(const char *from, const char *to);

/* Two of these blocks of `size` bytes overlap. */
bool any_overlap(char *const *blocks, size_t count, size_t size);

#endif
