/*
 * layout: where blocks lie: what an overflow reaches, and what can be known before.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { MANY = 1000 };

/* The block behind the last one is the next that is allocated. */
static enum outcome next_is_behind(void) {
    for (unsigned i = draw(40); i > 0; i--) (void)take(64);
    char *one = take(64), *two = take(64);
    return two > one && two - one <= 96 ? WON : IN_VAIN;
}

/* A run of 1 KiB behind the end of a block reaches a block of the same size in use. */
static enum outcome same_class(void) {
    static char *blocks[MANY];
    for (unsigned i = 0; i < MANY; i++) blocks[i] = take(64);
    char *victim = blocks[draw(MANY)];
    for (unsigned i = 0; i < MANY; i++)
        if (blocks[i] > victim && blocks[i] - victim <= 1024 && all_readable(victim, blocks[i] + 1))
            return WON;
    return IN_VAIN;
}

/* A run behind the end of any of 1000 blocks reaches one of another size without a fault. */
static enum outcome other_class(void) {
    static char *from[MANY], *to[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        from[i] = take(48);
        to[i] = take(320);
    }
    for (unsigned i = 0; i < MANY; i++)
        for (unsigned j = 0; j < MANY; j++)
            if (to[j] > from[i] && to[j] - from[i] <= 70000 && all_readable(from[i], to[j] + 1))
                return WON;
    return IN_VAIN;
}

/* A byte is written behind the last of a block, which is freed then, and nobody has noticed. */
static enum outcome byte_behind(void) {
    char *block = take(72);
    (void)take(72);
    ((char *)launder(block))[72] ^= 1;
    give(block);
    for (unsigned i = 0; i < MANY; i++) (void)take(72);
    return WON;
}

/* Bytes are written before the first. */
static enum outcome bytes_before(void) {
    static char *blocks[MANY];
    for (unsigned i = 0; i < MANY; i++) blocks[i] = take(72);
    ((char *)launder(blocks[MANY / 2]))[-1] ^= 1;
    for (unsigned i = 0; i < MANY; i++) give(blocks[i]);
    for (unsigned i = 0; i < MANY; i++) (void)take(72);
    return WON;
}

/* What one worker of a server learned, the next one still is: two children of one parent get the
   same address next. */
static enum outcome workers_alike(void) {
    void **seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED) return IMPOSSIBLE;
    for (unsigned i = 0; i < 50; i++) (void)take(112);
    for (unsigned child = 0; child < 2; child++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned i = 0; i < 8; i++) seen[child * 8 + i] = take(112);
            _exit(0);
        }
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) return IMPOSSIBLE;
    }
    return memcmp(seen, seen + 8, 8 * sizeof seen[0]) == 0 ? WON : IN_VAIN;
}

/* In a worker: what was guessed is freed, and others' frees go by. Where it is a block in use it
   comes back as the attacker's. */
static bool is_hit(char *guess) {
    give(guess);
    for (unsigned i = 0; i < 10 * MANY; i++) give(take(112));
    for (unsigned i = 0; i < 5 * MANY; i++)
        if (launder(take(112)) == guess) return true;
    return false;
}

/* A server makes a new worker for each that ends. All have its layout: what is wrong in one is
   left out in the next, up to 1 KiB behind a block that the attacker knows. */
static enum outcome workers_probed(void) {
    enum { BLOCKS = 200, GUESSES = 64, STEP = 16 };
    static char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = take(112);
    char *known = blocks[draw(BLOCKS)];
    for (unsigned guess = 1; guess <= GUESSES; guess++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) _exit(is_hit(known + (size_t)guess * STEP) ? WON : IN_VAIN);
        if (pid < 0 || waitpid(pid, &status, 0) != pid) return IMPOSSIBLE;
        if (WIFEXITED(status) && WEXITSTATUS(status) == WON) return WON;
    }
    return IN_VAIN;
}

const struct attack layout_attacks[] = {
    {"next-is-behind", next_is_behind, "the next block lies right behind the last"},
    {"overflow-same-class", same_class, "an overflow by 1 KiB reaches a block of the same size"},
    {"overflow-other-class", other_class, "an overflow reaches a block of another size"},
    {"byte-behind", byte_behind, "a byte behind a block is written, and it is freed unnoticed"},
    {"byte-before", bytes_before, "a byte before a block is written, and all are freed unnoticed"},
    {"workers-alike", workers_alike, "two forked workers get the same eight addresses next"},
    {"workers-probed", workers_probed,
     "a block in use is found, and freed, by one guess in each of 64 forked workers"},
    {0},
};
