/*
 * attacker: the moves of an attacker, and runs of programs of them.
 *
 * An input is a program of moves: grooming, one or more bugs, goals. The mutator draws operations
 * by weight and knows no moves, so each code stands for one of them. A run is the same program
 * again and again, each time with fresh keys, orders and places.
 */
#ifndef ENGINE_ATTACKER_H
#define ENGINE_ATTACKER_H

#include "engine/attempt.h"

/* The moves, by the code that brings them; other codes bring one of these as well. Blocks: by
   `pick` of those that live, or of dangling pointers, the newest 255. Sizes by `kind` and `value`.
 */
enum move {
    /* right ones */
    MOVE_TAKE = OP_MALLOC,           /* other % 8 == 7: by another thread */
    MOVE_TAKE_LIKE = OP_ALIGNED,     /* of a dangling block's size, 1 << other % 8 of them */
    MOVE_TAKE_MANY = OP_MALLOC_MANY, /* as in the other harnesses */
    MOVE_NEXT = OP_CALLOC,           /* like the last; or other & 1: of 1 + value bytes */
    MOVE_GIVE = OP_FREE,
    MOVE_GIVE_MANY =
        OP_FREE_MANY, /* kind % 4: all, those of pick's class, each second, the newest */
    MOVE_TRIM = OP_TRIM,
    MOVE_CLOCK = OP_CLOCK,
    MOVE_LEARN = OP_REALLOCARRAY, /* the secret of a block's page */
    /* wrong ones */
    MOVE_READ = OP_REALLOC,                   /* a dangling block: what was in it, and its link */
    MOVE_WRITE = OP_USABLE_STALE,             /* into a dangling block, at any offset */
    MOVE_OVERFLOW = OP_OVERFLOW,              /* up from a block's end; other % 4: how far */
    MOVE_UNDERFLOW = OP_FREE_WRONG_ALIGNMENT, /* down from its start */
    MOVE_DAMAGE = OP_STOMP,                   /* a free block's link; other: how, see damage() */
    MOVE_FORGE = OP_FREE_OTHER_FAMILY, /* a link by the secret that he knows; other: where to */
    MOVE_AGAIN = OP_DOUBLE_FREE,       /* other: by which verb and thread */
    MOVE_FAKE = OP_FREE_INTERIOR,   /* frees what is no block; other: where, with a header or not */
    MOVE_SIZED = OP_FREE_WRONG_SIZE /* a sized free with the size of another class */
};

/* One attempt: that number's. What came of it is in `attempt`. */
void attacker_attempt(struct attempt *attempt, struct run *run, const struct subject *subject,
                      const struct input *input, unsigned number);
/* Some. The hash of all of it is in run->trace, and the first report in run->reported. */
void attacker_run(struct run *run, const struct subject *subject, const struct input *input);

#endif
