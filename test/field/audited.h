/*
 * audited: whether the audit library (audit.c) sees this process.
 *
 * It lives in a namespace of its own, so nothing of it can be looked up. But it answers for one
 * function of the C library's, which no program here needs, and says how many bindings it has seen.
 */
#ifndef FIELD_AUDITED_H
#define FIELD_AUDITED_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define AUDITED_FUNCTION "gnu_get_libc_version"
#define AUDITED_ANSWER "bindings seen: "

static inline bool is_audited(void) {
    const char *(*function)(void);
    void *symbol = dlsym(RTLD_DEFAULT, AUDITED_FUNCTION);
    memcpy(&function, &symbol, sizeof symbol);
    if (symbol == NULL) return false;
    const char *answer = function();
    size_t length = sizeof AUDITED_ANSWER - 1;
    return strncmp(answer, AUDITED_ANSWER, length) == 0 && atoi(answer + length) > 10;
}

#endif
