/*
 * controls_main: for each oracle one planted bug that must be found, as what it is.
 *
 *   fuzz_controls [NAME...]
 *
 * The bugs are planted in front of moat: a verb that answers wrongly now and then, an order that is
 * taken as weaker, a word that threads share without a lock. Each runs in a child process on the
 * inputs that a search without a corpus would try. A bug counts as found only if the failure has
 * the words of its oracle and comes at an operation that can show it; a run in which one goes
 * unfound, or is found as something else, fails. The test fuzz.controls. Exit status: 0; 1.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "engine/calls.h"
#include "engine/control.h"
#include "engine/dispatch.h"
#include "engine/modules.h"
#include "engine/mutate.h"
#include "engine/named.h"
#include "engine/program.h"
#include "engine/target.h"
#include "engine/team.h"
#include "engine/texts.h"
#include "engine/two_locks.h"
#include "engine/units.h"
#include "engine/wanted.h"
#include "heap/freelist.h"
#include "heap/heap.h"
#include "meta/canary.h"

enum { NOW_AND_THEN = 7, INPUTS_MAX = 20000 };

static struct run run;
static struct input input;
static struct subject planted;
static unsigned calls;
static bool is_time(void) { return ++calls % NOW_AND_THEN == 0; }

/* The last block that malloc gave and nobody freed, and the last that was freed and not given. */
static void *last_given, *last_freed;
static size_t last_size;

static void *remembering_malloc(size_t size) {
    void *block = subject_moat.malloc(size);
    if (block == last_freed) last_freed = NULL;
    if (size >= 2 * sizeof(uint64_t)) last_given = block, last_size = size;
    return block;
}
static void remembering_free(void *block) {
    if (block == last_given) last_given = NULL;
    if (block != NULL) last_freed = block;
    subject_moat.free(block);
}
static void remember(void) {
    planted.malloc = remembering_malloc;
    planted.free = remembering_free;
    planted.free_sized = NULL; /* see plant() */
}

/* --- Verbs that answer wrongly --------------------------------------------------------------- */

static void *overlapping_malloc(size_t size) {
    if (last_given != NULL && size != 0 && size <= last_size && is_time()) return last_given;
    return remembering_malloc(size);
}
static void plant_overlap(void) {
    remember();
    planted.malloc = overlapping_malloc;
}

static void scribbling_free(void *block) {
    if (last_given != NULL && block != last_given && is_time()) *(uint64_t *)last_given ^= 1;
    remembering_free(block);
}
static void plant_contents(void) {
    remember();
    planted.free = scribbling_free;
}

static void *misaligned_alloc(size_t alignment, size_t size) {
    bool is_small = is_power_of_two(alignment) && alignment <= SMALL_MAX && size <= SMALL_MAX;
    return is_small ? subject_moat.malloc(size) : subject_moat.aligned_alloc(alignment, size);
}
static void plant_alignment(void) { planted.aligned_alloc = misaligned_alloc; }

static void *dirty_calloc(size_t number, size_t size) {
    unsigned char *block = subject_moat.calloc(number, size);
    if (block != NULL && number * size > GRANULE && is_time()) block[GRANULE - 1] = 1;
    return block;
}
static void plant_zeroed(void) { planted.calloc = dirty_calloc; }

/* When it is asked for alone; the engine asks when it takes a block, too. */
static size_t growing_usable_size(const void *block) {
    bool is_alone = input.ops[run.op_index].code == OP_USABLE;
    return subject_moat.usable_size(block) + (block != NULL && is_alone ? GRANULE : 0);
}
static void plant_usable(void) { planted.usable_size = growing_usable_size; }

static void *noisy_malloc(size_t size) {
    void *block = subject_moat.malloc(size);
    if (is_time()) errno = EAGAIN;
    return block;
}
static void plant_errno(void) { planted.malloc = noisy_malloc; }

static void *refusing_malloc(size_t size) {
    if (!is_time()) return subject_moat.malloc(size);
    errno = ENOMEM;
    return NULL;
}
static void plant_null(void) { planted.malloc = refusing_malloc; }

static void *overflowing_malloc(size_t size) {
    return subject_moat.malloc(size > PTRDIFF_MAX ? 100 : size);
}
static void plant_impossible(void) { planted.malloc = overflowing_malloc; }

static void *leaking_malloc(size_t size) {
    uint64_t *block = subject_moat.malloc(size);
    if (block != NULL && size != 0 && is_time()) *block = 0x2bca286d0000;
    return block;
}
static void plant_link(void) { planted.malloc = leaking_malloc; }

static bool always_open(uintptr_t address) { return address != 0; }
static void plant_guard(void) { planted.is_open = always_open; }

static void forgetful_free(void *block) {
    if (!is_time()) subject_moat.free(block);
}
static void plant_leak(void) { planted.free = forgetful_free; }

static bool idle_trim(void) { return false; }
static void plant_committed(void) { planted.trim = idle_trim; }

static bool damaging_trim(void) {
    bool gave = subject_moat.trim();
    struct heap *heap = heap_of_thread();
    if (heap != NULL && is_time()) heap->segments++;
    return gave;
}
static void plant_invariant(void) { planted.trim = damaging_trim; }

static void patient_free(void *block) {
    if (block == NULL || block != last_freed || run.expect.kinds == 0) remembering_free(block);
}
static void plant_unseen(void) {
    remember();
    planted.free = patient_free;
}

/* --- What the strict level alone sees -------------------------------------------------------- */

static bool is_now(unsigned code) { return input.ops[run.op_index].code == code; }

static void forgiving_free(void *block) {
    if (!is_now(OP_OVERFLOW)) subject_moat.free(block);
}
static void plant_overflow(void) { planted.free = forgiving_free; }

static void any_delete(void *block) {
    if (!is_now(OP_FREE_OTHER_FAMILY)) subject_moat.delete_block(block);
}
static void plant_family(void) { planted.delete_block = any_delete; }

static bool blind_trim(void) { return is_now(OP_STOMP) ? false : subject_moat.trim(); }
static void plant_stomp(void) { planted.trim = blind_trim; }

static void *dirty_malloc(size_t size) {
    unsigned char *block = subject_moat.malloc(size);
    if (block != NULL && size > GRANULE && is_time()) block[size - 1] = 1;
    return block;
}
static void plant_not_zero(void) { planted.malloc = dirty_malloc; }

static size_t rounding_usable_size(const void *block) {
    return round_up(subject_moat.usable_size(block), GRANULE);
}
static void plant_rounded(void) { planted.usable_size = rounding_usable_size; }

static void *forgetful_realloc(void *block, size_t size) {
    unsigned char *moved = subject_moat.realloc(block, size);
    if (moved != NULL && size != 0 && is_time()) moved[size - 1] |= 1;
    return moved;
}
static void plant_grown(void) { planted.realloc = forgetful_realloc; }

static void twofold_free(void *block) {
    subject_moat.free(block);
    if (block != NULL && is_time()) subject_moat.free(block);
}
static void plant_report(void) { planted.free = twofold_free; }

/* --- While threads run ----------------------------------------------------------------------- */

/* One word for the blocks of a list, and no read-modify-write. */
static uint64_t frees, kept[SHADOW_BLOCKS];

static void begin_shared(struct life life,
                         void (*on_report)(enum report_kind kind, uintptr_t address)) {
    subject_moat.begin(life, on_report);
    frees = 0;
}

static void listing_free(void *block) {
    if (block == NULL) return;
    uint64_t number = atomic_load_relaxed(&frees);
    kept[number % SHADOW_BLOCKS] = (uintptr_t)block;
    atomic_store_relaxed(&frees, number + 1);
}
/* Who trims frees what was listed, and what was listed over is lost. */
static bool freeing_trim(void) {
    if (run.op_index < input.op_count) return false; /* at the end, by one alone */
    for (; frees > 0; frees--) subject_moat.free((void *)kept[(frees - 1) % SHADOW_BLOCKS]);
    return subject_moat.trim();
}
static void plant_lost_update(void) {
    planted.begin = begin_shared;
    planted.free = listing_free;
    planted.trim = freeing_trim;
}

static void swallowing_free(void *block) {
    if (run.racing.kinds == 0 || (uintptr_t)block != run.racing.address) subject_moat.free(block);
}
static void plant_again(void) { planted.free = swallowing_free; }

/* The same, but only where another thread came between, so that nothing shows at once; of a block
   without a page it would by the end of the two calls. */
static bool has_page(uintptr_t block) {
    return owner_has_pages(*(const volatile uint64_t *)&segment_of(block)->owner);
}
static void *counting_malloc(size_t size) {
    calls++;
    (void)atomic_load_relaxed(&frees);
    return subject_moat.malloc(size);
}
static void overtaken_free(void *block) {
    unsigned before = ++calls;
    (void)atomic_load_relaxed(&frees);
    bool is_second = run.racing.kinds != 0 && (uintptr_t)block == run.racing.address;
    if (calls == before || !is_second || !has_page((uintptr_t)block)) subject_moat.free(block);
}
static void plant_twice(void) {
    planted.malloc = counting_malloc;
    planted.free = overtaken_free;
}

static void lock_by_looks(uint32_t *word) {
    uint32_t seen;
    do {
        seen = atomic_load_acquire(word);                       /* pairs with two_locks_unlock */
    } while (seen != 0 || !atomic_cas_acquire(word, &seen, 1)); /* likewise */
}
static void plant_no_progress(void) { two_locks_plant(&planted, lock_by_looks); }

/* Claims are announced relaxed, and who collects may see none of them: found only where a load may
   be given an old value. */
static void plant_weak_order(void) {
    const struct atomic_site *last = NULL, *site = __start_atomic_sites;
    for (; site < __stop_atomic_sites; site++)
        if (strstr(site->file, "heap/remote.c") != NULL && site->kind == ATOMIC_CHANGE &&
            site->order == __ATOMIC_ACQ_REL && (last == NULL || site->line > last->line))
            last = site;
    if (last == NULL) abort(); /* it has another order by now */
    views_weaken(last, __ATOMIC_RELAXED);
}

/* Who takes a lock next does not know what was done under it: seen by plain data alone. */
static void plant_no_order(void) {
    const struct atomic_site *site = __start_atomic_sites;
    while (site < __stop_atomic_sites &&
           !(strstr(site->file, "os/lock.h") != NULL && site->kind == ATOMIC_CHANGE &&
             site->order == __ATOMIC_RELEASE))
        site++;
    team_is_watched = true;
    views_weaken(site, __ATOMIC_RELAXED);
}

/* --- Texts of options ------------------------------------------------------------------------ */

static struct texts_subject parser;

static void trusting_parse(struct options *options, const char *text, bool privileged) {
    (void)privileged;
    options_parse(options, text, false);
}
static void plant_trusting(void) { parser.parse = trusting_parse; }

static void talking_parse(struct options *options, const char *text, bool privileged) {
    options_parse(options, text, privileged);
    if (text != NULL && is_time()) options_parse(options, "no-such-option=1", privileged);
}
static void plant_talking(void) { parser.parse = talking_parse; }

static void keeping_parse(struct options *options, const char *text, bool privileged) {
    struct option_list before = options->report_where;
    options_parse(options, text, privileged);
    if (options->report == SINK_STDERR) options->report_where = before;
}
static void plant_keeping(void) { parser.parse = keeping_parse; }

/* What it says and what holds are two things. */
static void boasting_load(struct options *options) {
    options_load(options);
    if (options->verbose) options_parse(options, "verbose=1", false);
    if (options->verbose && is_time()) os_write(OS_STDERR, "moat: options: level=strict\n", 28);
}
static void plant_boasting(void) { parser.load = boasting_load; }

/* --- Units ----------------------------------------------------------------------------------- */

static struct units_subject units;

static bool moving_take(struct map_word *word, uint64_t place) {
    uint64_t before = word->live;
    bool taken = map_take(word, place);
    if (taken && is_time()) word->live ^= before & (before - 1) ? before & -before : 0;
    return taken;
}
static void plant_neighbour(void) { units.map_take = moving_take; }

static uint32_t tight_class(size_t size) { return size_class_of(size > 1 ? size - 1 : size); }
static void plant_class(void) { units.size_class_of = tight_class; }

static bool any_boundary(uint64_t offset, uint64_t reciprocal) {
    return offset_on_boundary(offset & ~(uint64_t)1, reciprocal);
}
static void plant_boundary(void) { units.offset_on_boundary = any_boundary; }

/* A bit that no address has is not looked at. */
static uint64_t narrow_decode(uint64_t link, uint64_t secret, uintptr_t address) {
    return freelist_decode(link, secret, address) & ~bit64(47);
}
static void plant_link_bit(void) { units.freelist_decode = narrow_decode; }

static bool late_add(struct returns *returns) {
    return returns_add(returns) && returns->countdown < -1;
}
static void plant_event(void) { units.returns_add = late_add; }

static void stale_remove(struct list *list, struct list_table table, uint32_t index) {
    uint32_t last = list_last(list, table);
    list_remove(list, table, index);
    if (last == index && list->first != 0) list_node(table, list->first)->prev = last;
}
static void plant_last(void) { units.list_remove = stale_remove; }

static uint32_t inclusive_below(struct random *random, uint32_t bound) {
    return random_below(random, bound) + (bound < 16);
}
static void plant_bound(void) { units.random_below = inclusive_below; }

static uintptr_t short_check(uintptr_t block, uintptr_t from, uintptr_t to) {
    return canary_check(block, from, to > from ? to - 1 : to);
}
static void plant_canary(void) { units.canary_check = short_check; }

/* --- Readers of a damaged process ------------------------------------------------------------ */

static struct modules_subject readers;

static bool late_symbol(struct peek *peek, const struct module *module, uintptr_t address,
                        struct symbol *symbol) {
    bool found = symbol_find(peek, module, address, symbol);
    symbol->start += found && is_time();
    return found;
}
static void plant_symbol(void) { readers.symbol_find = late_symbol; }

static bool curious_symbol(struct peek *peek, const struct module *module, uintptr_t address,
                           struct symbol *symbol) {
    uintptr_t word = 0;
    if (is_time()) (void)peek_word(peek, module->end, &word);
    return symbol_find(peek, module, address, symbol);
}
static void plant_outside(void) { readers.symbol_find = curious_symbol; }

static const struct module *last_module(struct module_table *table, uintptr_t address) {
    const struct module *module = module_find(table, address);
    return module == NULL && table->count != 0 ? &table->modules[0] : module;
}
static const struct module *any_module(struct module_table *table, uintptr_t address) {
    (void)module_find(table, address - 1);
    return last_module(table, address);
}
static void plant_module(void) { readers.module_find = any_module; }

static bool early_run(struct cfi_workspace *cfi, struct cfi_entry *entry, uintptr_t address) {
    return cfi_run(cfi, entry, address > entry->start ? address - 1 : address);
}
static void plant_row(void) { readers.cfi_run = early_run; }

static bool hasty_apply(struct peek *peek, const struct cfi_workspace *cfi,
                        const struct cfi_entry *entry, struct cfi_registers *registers) {
    bool done = cfi_apply(peek, cfi, entry, registers);
    registers->pc += !done;
    return done;
}
static void plant_half(void) { readers.cfi_apply = hasty_apply; }

static bool narrow_expression(struct peek *peek, uintptr_t address, uintptr_t base,
                              const struct cfi_registers *registers, uintptr_t *value) {
    bool done = cfi_expression(peek, address, base, registers, value);
    *value &= UINT64_MAX >> 1;
    return done;
}
static void plant_expression(void) { readers.cfi_expression = narrow_expression; }

static void short_walk(struct backtrace_workspace *workspace, struct cfi_registers *registers,
                       struct backtrace *backtrace, struct backtrace_memo *memos) {
    backtrace_walk(workspace, registers, backtrace, memos);
    if (backtrace->count != 0 && is_time()) backtrace->count--;
}
static void plant_walk(void) { readers.backtrace_walk = short_walk; }

static bool skipping_next(struct proc_maps *maps, struct mapping *mapping) {
    return proc_maps_next(maps, mapping) && (!is_time() || proc_maps_next(maps, mapping));
}
static void plant_skipped(void) { readers.proc_maps_next = skipping_next; }

/* An entry that leads to itself. */
static bool circling_find(struct peek *peek, const struct module *module, uintptr_t address,
                          struct cfi_entry *entry) {
    uintptr_t word = 1;
    bool found = cfi_find(peek, module, address, entry);
    while (!found && peek_word(peek, module->start, &word) && word != 0) continue;
    return found;
}
static void plant_circle(void) { readers.cfi_find = circling_find; }

/* --- Calls by public names ------------------------------------------------------------------- */

static struct calls calls_planted;

/* The verb of that name, to be replaced. */
static union verb_function *function_of(const char *name) {
    struct contract *contract = &calls_planted.contract;
    for (unsigned i = 0; i < CONTRACT_GIVERS; i++)
        if (strcmp(contract->give[i].name, name) == 0) return &contract->give[i].function;
    for (unsigned i = 0; i < CONTRACT_RESIZERS; i++)
        if (strcmp(contract->resize[i].name, name) == 0) return &contract->resize[i].function;
    abort(); /* it has another name by now */
}

static void *mute_calloc(size_t count, size_t size) {
    int before = errno;
    void *block = named_calloc(count, size);
    errno = before;
    return block;
}
static void plant_mute(void) { function_of("calloc")->of_two = mute_calloc; }

static int writing_memalign(void **result, size_t alignment, size_t size) {
    int error = named_posix_memalign(result, alignment, size);
    if (error != 0) *result = NULL;
    return error;
}
static void plant_writing(void) { function_of("posix_memalign")->into = writing_memalign; }

static void *unchecked_reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? named_realloc(block, GRANULE)
                                                       : named_realloc(block, total);
}
static void plant_unchecked(void) {
    function_of("reallocarray")->resize_product = unchecked_reallocarray;
}

static void *lenient_memalign(size_t alignment, size_t size) {
    bool is_right = is_power_of_two(alignment) || alignment > ALIGN_MAX;
    return named_memalign(is_right ? alignment : GRANULE, size);
}
static void plant_lenient(void) { function_of("memalign")->of_two = lenient_memalign; }

static void *hasty_new(size_t size) {
    if (size > PTRDIFF_MAX) named_throw_bad_alloc();
    return named_new(size);
}
static void plant_hasty(void) { function_of("new")->of_size = hasty_new; }

static void *silent_new(size_t size) { return size > PTRDIFF_MAX ? NULL : named_new_array(size); }
static void plant_silent(void) { function_of("new[]")->of_size = silent_new; }

static int knowing_mallopt(int parameter, int value) {
    return parameter == M_MXFAST ? 1 : named_mallopt(parameter, value);
}
static void plant_knowing(void) { calls_planted.asks.mallopt = knowing_mallopt; }

static struct mallinfo2 other_mallinfo2(void) {
    struct mallinfo2 info = named_mallinfo2();
    info.uordblks += is_time();
    return info;
}
static void plant_other(void) { calls_planted.asks.mallinfo2 = other_mallinfo2; }

/* --- What must be found ---------------------------------------------------------------------- */

enum {
    AT_ONCE = 1,  /* found by threads that run at once */
    NEWEST = 2,   /* and by loads that see the newest value */
    MISUSE = 4,   /* and by programs that free twice */
    STRICT = 8,   /* at the strict level */
    TEXTS = 16,   /* by texts of options */
    UNITS = 32,   /* by steps of units */
    READERS = 64, /* by questions to readers */
    CALLS = 128   /* by calls of public names */
};
static const struct control {
    const char *name;
    void (*plant)(void);
    const char *says; /* the oracle's words */
    const char *at;   /* an operation that can show it, or "" */
    unsigned how;     /* of the above */
} controls[] = {
    {"overlap", plant_overlap, "overlaps a live block", "malloc", 0},
    {"contents", plant_contents, "contents lost", "", 0},
    {"alignment", plant_alignment, "is not aligned", "aligned", 0},
    {"zeroed", plant_zeroed, "of a zeroed block", "calloc", 0},
    {"usable size", plant_usable, "usable size was", "usable", 0},
    {"errno", plant_errno, "malloc left errno", "malloc", 0},
    {"NULL", plant_null, "gave NULL", "malloc", 0},
    {"impossible size", plant_impossible, "an impossible size", "malloc", 0},
    {"link left", plant_link, "begins with", "malloc", 0},
    {"guard", plant_guard, "there is no guard behind", "", 0},
    {"blocks in use", plant_leak, "in use after everything was freed", "at the end", 0},
    {"memory kept", plant_committed, "committed after everything was freed", "at the end", 0},
    {"invariants", plant_invariant, "report corrupt-metadata", "", 0},
    {"misuse unseen", plant_unseen, "was not reported", "double-free", 0},
    {"report", plant_report, "report double-free", "", 0},
    {"overflow unseen", plant_overflow, "overflow at", "(overflow,", STRICT},
    {"family unseen", plant_family, "free-other-family at", "(free-other-family,", STRICT},
    {"write after free unseen", plant_stomp, "a write into a block in quarantine", "(stomp,",
     STRICT},
    {"not zero", plant_not_zero, "of a new block of", "malloc", STRICT},
    {"size rounded", plant_rounded, "bytes were asked for", "", STRICT},
    {"grown", plant_grown, "left byte", "realloc", STRICT},
    {"lost update", plant_lost_update, "in use after everything was freed", "at the end", AT_ONCE},
    {"freed twice", plant_twice, "freed twice at once was handed out", "",
     AT_ONCE | NEWEST | MISUSE},
    {"freed again", plant_again, "second free of a block was not reported", "",
     AT_ONCE | NEWEST | MISUSE},
    {"no order", plant_no_order, "no order: thread", "", AT_ONCE | NEWEST},
    {"no progress", plant_no_progress, "make no progress", "", AT_ONCE},
    {"weak order", plant_weak_order, "in use after everything was freed", "at the end", AT_ONCE},
    {"weaker options", plant_trusting, "in a privileged process", "at the text", TEXTS},
    {"warnings", plant_talking, "lines were printed", "at the text", TEXTS},
    {"old list", plant_keeping, "the list of report is", "at the text", TEXTS},
    {"settings", plant_boasting, "by the line of verbose=1", "at the text", TEXTS},
    {"neighbour", plant_neighbour, "the live bits of word", "(map)", UNITS},
    {"class", plant_class, "bytes do not fit their class", "(classes)", UNITS},
    {"boundary", plant_boundary, "boundaries: offset", "(boundaries)", UNITS},
    {"link bit", plant_link_bit, "does not count", "(links)", UNITS},
    {"event", plant_event, "an event or none", "(returns)", UNITS},
    {"last of a list", plant_last, "lists: another last", "(lists)", UNITS},
    {"bound", plant_bound, "is not below", "(random)", UNITS},
    {"canary", plant_canary, "a changed byte is not seen", "(canary)", UNITS},
    {"function", plant_symbol, "the function begins elsewhere", "(symbol)", READERS},
    {"outside", plant_outside, "a symbol was looked for outside", "(symbol)", READERS},
    {"module", plant_module, "a module that is elsewhere", "", READERS},
    {"row", plant_row, "a row: another", "(frame)", READERS},
    {"half a caller", plant_half, "registers without a caller", "", READERS},
    {"expression", plant_expression, "an expression is 0x", "(expression)", READERS},
    {"walk", plant_walk, "frames, not", "(walk)", READERS},
    {"skipped line", plant_skipped, "of the list is another", "(maps)", READERS},
    {"no end", plant_circle, "it does not end", "(frame)", READERS},
    {"errno of a refusal", plant_mute, "calloc left errno", "at operation", CALLS},
    {"result of a refusal", plant_writing, "posix_memalign failed and changed its result",
     "at operation", CALLS},
    {"product", plant_unchecked, "reallocarray with alignment", "gave a block", CALLS},
    {"rounded alignment", plant_lenient, "the block is not aligned", "at operation", CALLS},
    {"new-handler", plant_hasty, "new called the new-handler 0 times", "at operation", CALLS},
    {"exception", plant_silent, "did not throw", "at operation", CALLS},
    {"C library", plant_knowing, "where the C library gives 0", "at operation", CALLS},
    {"statistics", plant_other, "mallinfo2.uordblks says", "at operation", CALLS},
};
enum { CONTROLS = sizeof controls / sizeof controls[0] };

/* Sized frees go the way of free. */
static void free_of_size(void *block, size_t size) {
    if (size != subject_moat.usable_size(block))
        subject_moat.free_sized(block, size); /* and a wrong one is reported */
    else
        planted.free(block);
}

static void plant(const struct control *control) {
    planted = subject_moat;
    parser = texts_moat;
    units = units_moat;
    readers = modules_moat;
    calls_of_moat(&calls_planted);
    control->plant();
    if (planted.free != subject_moat.free) planted.free_sized = free_of_size;
}

static void search(const void *argument) {
    const struct control *control = argument;
    plant(control);
    for (uint64_t seed = 0; seed < INPUTS_MAX; seed++) {
        struct rng random = {seed};
        last_given = last_freed = NULL;
        if (control->how & TEXTS) {
            mutate_fresh(&input, &random, 1);
            (void)texts_run(&parser, &input);
        } else if (control->how & UNITS) {
            mutate_fresh(&input, &random, 1);
            (void)units_run(&units, &input);
        } else if (control->how & READERS) {
            mutate_fresh(&input, &random, 1);
            (void)modules_run(&readers, &input);
        } else if (control->how & CALLS) {
            mutate_fresh(&input, &random, 1);
            calls_run(&run, &calls_planted, &input);
        } else if (control->how & AT_ONCE) {
            program_make(&input, &random);
            input.flags &= (uint8_t)~INPUT_STALE;
            if (!(control->how & NEWEST)) input.flags |= INPUT_STALE;
            if (!(control->how & MISUSE)) input.flags &= (uint8_t)~INPUT_MISUSE;
            program_adapt(&input);
            team_run(&run, &planted, &input);
        } else {
            mutate_fresh(&input, &random, 1);
            input.flags &= (uint8_t)~INPUT_STRICT;
            if (control->how & STRICT) input.flags |= INPUT_STRICT;
            dispatch_input(&run, &planted, &input);
        }
    }
}

int main(int argc, char **argv) {
    unsigned missed = 0;
    for (unsigned i = 0; i < CONTROLS; i++) {
        if (is_wanted(controls[i].name, argv + 1, argc - 1))
            missed += !control_finds(controls[i].name, controls[i].says, controls[i].at, search,
                                     &controls[i]);
    }
    return missed > 0;
}
