/*
 * main: attack NAME does one attempt; see attack.h. attack --list names all.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attack.h"

static const struct attack *const groups[] = {link_attacks, reuse_attacks, free_attacks,
                                              layout_attacks};
enum { GROUPS = sizeof groups / sizeof groups[0], NOT_KNOWN = 2 };

void *launder(void *pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

void *take(size_t size) {
    void *block = launder(malloc(size));
    if (block == NULL) exit(IMPOSSIBLE);
    return block;
}

void give(void *block) { free(launder(block)); }

uint32_t draw(uint32_t bound) {
    uint32_t value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value) exit(IMPOSSIBLE);
    return (uint32_t)((uint64_t)value * bound >> 32);
}

bool is_readable(const void *address) {
    char byte;
    struct iovec to = {&byte, 1}, from = {launder((void *)(uintptr_t)address), 1};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

bool all_readable(const char *from, const char *to) {
    enum { OS_PAGE_LEAST = 4096 };
    for (const char *at = from; at < to;
         at = (const char *)(((uintptr_t)at | (OS_PAGE_LEAST - 1)) + 1))
        if (!is_readable(at)) return false;
    return true;
}

bool any_overlap(char *const *blocks, size_t count, size_t size) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (blocks[i] < blocks[j] + size && blocks[j] < blocks[i] + size) return true;
    return false;
}

/* A right program: it takes, writes, resizes and frees, a part of it in another thread. */
static void *free_all(void *argument) {
    char **blocks = argument;
    for (; *blocks != NULL; blocks++) give(*blocks);
    return NULL;
}

static enum outcome right_program(void) {
    enum { BLOCKS = 2000, SIZE_MAX_OF = 40000 };
    static char *blocks[BLOCKS + 1];
    pthread_t other;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 1 + draw(i % 50 == 0 ? SIZE_MAX_OF : 300);
        blocks[i] = take(size);
        memset(blocks[i], 1, size);
        if (i % 3 != 0) continue;
        blocks[i] = launder(realloc(blocks[i], 2 * size));
        if (blocks[i] == NULL) return IMPOSSIBLE;
        memset(blocks[i], 2, 2 * size);
    }
    if (pthread_create(&other, NULL, free_all, &blocks[BLOCKS / 2]) != 0) return IMPOSSIBLE;
    if (pthread_join(other, NULL) != 0) return IMPOSSIBLE;
    blocks[BLOCKS / 2] = NULL;
    free_all(blocks);
    return IN_VAIN;
}

/* Not among the attacks; for `score --check`. */
static const struct attack control = {"control", right_program, "a right program"};

static const struct attack *find(const char *name) {
    if (strcmp(name, control.name) == 0) return &control;
    for (unsigned g = 0; g < GROUPS; g++)
        for (const struct attack *attack = groups[g]; attack->name != NULL; attack++)
            if (strcmp(attack->name, name) == 0) return attack;
    return NULL;
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "--list") == 0) {
        for (unsigned g = 0; g < GROUPS; g++)
            for (const struct attack *attack = groups[g]; attack->name != NULL; attack++)
                printf("%s\t%s\n", attack->name, attack->what);
        return 0;
    }
    const struct attack *attack = count == 2 ? find(arguments[1]) : NULL;
    if (attack == NULL) {
        fprintf(stderr, "usage: attack NAME | --list\n");
        return NOT_KNOWN;
    }
    struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    enum outcome outcome = attack->attempt();
    _exit((int)outcome); /* what runs at an exit is not part of it */
}
