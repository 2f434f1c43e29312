/*
 * asks: verbs that ask, set or tidy, and what they must answer.
 *
 * The statistics must be the same from whatever verb says them and in whatever form, sizes those of
 * the model, parameters and errors as the C library has them, and errno stays as it is. Only calls
 * calls this.
 */
#ifndef ENGINE_ASKS_H
#define ENGINE_ASKS_H

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "engine/run.h"

struct asks {
    size_t (*usable_size)(void *block);
    int (*trim)(size_t keep);
    int (*mallopt)(int parameter, int value);
    struct mallinfo (*mallinfo)(void);
    struct mallinfo2 (*mallinfo2)(void);
    int (*info)(int options, FILE *stream);
    void (*stats)(void);
    const char *(*version)(void);
    /* By both names. */
    int (*set_limit[2])(int resource, const struct rlimit *limit);
    int (*change_limit[2])(pid_t process, int resource, const struct rlimit *wanted,
                           struct rlimit *before);
};
extern const struct asks asks_moat;

/* Once, before the first. */
void asks_prepare(void);
/* One of them, as the operation says. */
void asks_carry_out(struct run *run, const struct asks *asks, const struct input_op *op);

#endif
