/*
 * planted: bugs in front of moat, for the test of how findings are reproduced.
 *
 * By the linker (--wrap) these stand in the place of some functions, in a harness and in the
 * programs that reproduce its findings alike. MOAT_PLANTED names the one that has a bug.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "moat.h"

static bool is_planted(const char *name) {
    static const char *planted;
    if (planted == NULL) planted = getenv("MOAT_PLANTED");
    return planted != NULL && strcmp(planted, name) == 0;
}

/* The alignment is forgotten. */
int __real_moat_posix_memalign(void **result, size_t alignment, size_t size);
int __wrap_moat_posix_memalign(void **result, size_t alignment, size_t size) {
    bool is_right = alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0;
    if (is_right && alignment <= 4096 && size <= 1024 && is_planted("alignment")) alignment = 16;
    return __real_moat_posix_memalign(result, alignment, size);
}

#ifdef MOAT_HARNESS
#include "base/atomic.h"
#include "harness/harness.h"
#include "meta/canary.h"
#include "meta/options.h"
#include "report/symbol.h"

/* Whether another thread came between. */
static bool is_overtaken(void) {
    static uint64_t word;
    static unsigned calls;
    unsigned before = ++calls;
    (void)atomic_load_relaxed(&word);
    atomic_store_relaxed(&word, (uint64_t)before);
    return calls != before;
}

uintptr_t __real_canary_check(uintptr_t block, uintptr_t from, uintptr_t to);
uintptr_t __wrap_canary_check(uintptr_t block, uintptr_t from, uintptr_t to) {
    bool is_short = is_planted("canary") && to > from;
    return __real_canary_check(block, from, is_short ? to - 1 : to);
}

bool __real_symbol_find(struct peek *peek, const struct module *module, uintptr_t address,
                        struct symbol *symbol);
bool __wrap_symbol_find(struct peek *peek, const struct module *module, uintptr_t address,
                        struct symbol *symbol) {
    bool found = __real_symbol_find(peek, module, address, symbol);
    if (found && is_planted("symbol")) symbol->start++;
    return found;
}

void __real_options_parse(struct options *options, const char *text, bool privileged);
void __wrap_options_parse(struct options *options, const char *text, bool privileged) {
    __real_options_parse(options, text, privileged && !is_planted("privileged"));
}
#else
static bool is_overtaken(void) { return false; }
static uint64_t harness_nudges(void) { return 0; }
#endif

/* What has to be tried again is taken for done: seen where a failpoint brings it about. */
void *__real_moat_malloc(size_t size);
void *__wrap_moat_malloc(size_t size) {
    uint64_t before = harness_nudges();
    char *block = __real_moat_malloc(size);
    bool is_wrong = is_planted("nudged") && harness_nudges() != before;
    return is_wrong && block != NULL ? block + 8 : block;
}

/* What is freed while another thread comes between stays; or what is larger than others; or a block
   that was freed just before may be freed again. */
void __real_moat_free(void *block);
void __wrap_moat_free(void *block) {
    static void *last;
    if (is_planted("overtaken") && is_overtaken()) return;
    if (is_planted("leak") && block != NULL && moat_usable_size(block) >= 4096) return;
    if (is_planted("unseen") && block != NULL && block == last) return;
    last = block;
    __real_moat_free(block);
}
