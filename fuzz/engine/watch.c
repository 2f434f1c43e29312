/*
 * watch: plain data that two virtual threads touch without an order between them. See the header.
 *
 * For each eight bytes the last few accesses are kept, each with the bytes it touched: an older one
 * that falls out may hide a race, and none is made up.
 */
#include "engine/watch.h"

#include "base/base.h"
#include "engine/views.h"
#include "harness/arena.h"

enum { CELLS_SHIFT = 14, CELLS = 1 << CELLS_SHIFT, KEPT = 8, BYTES = 8, TRIES = 32 };

struct access {
    struct watch_touch touch;
    uint32_t event; /* of its thread's clock */
    uint8_t bytes;  /* a bit for each of the eight */
};

static struct cell {
    uintptr_t address; /* of the eight bytes */
    uint32_t run;      /* that it was last used in */
    uint8_t count;     /* accesses kept */
    uint8_t next;      /* the one to be replaced when there are more */
    struct access kept[KEPT];
} cells[CELLS];

static struct {
    bool on, told;
    unsigned thread;
    uint32_t run;
    void (*on_race)(uintptr_t address, const struct watch_touch *earlier,
                    const struct watch_touch *later);
} watch;

void watch_begin(void (*on_race)(uintptr_t address, const struct watch_touch *earlier,
                                 const struct watch_touch *later)) {
    watch.on = false;
    watch.run++;
    watch.on_race = on_race;
}

void watch_on(bool on) { watch.on = on; }
void watch_thread(unsigned thread) { watch.thread = thread; }
bool watch_is_told(void) { return watch.told; }

/* NULL: there are too many, and this one is not watched. */
static struct cell *cell_of(uintptr_t address) {
    unsigned at = (unsigned)((address / BYTES * 0x9e3779b97f4a7c15u) >> (64 - CELLS_SHIFT));
    for (unsigned tries = 0; tries < TRIES; tries++, at++) {
        struct cell *cell = &cells[at % CELLS];
        if (cell->run != watch.run) {
            cell->address = address;
            cell->run = watch.run;
            cell->count = cell->next = 0;
        }
        if (cell->address == address) return cell;
    }
    return NULL;
}

static void compare(uintptr_t address, const struct access *earlier, const struct access *now) {
    if (earlier->touch.thread == now->touch.thread || (earlier->bytes & now->bytes) == 0) return;
    if (!earlier->touch.writes && !now->touch.writes) return;
    if (views_knows(now->touch.thread, earlier->touch.thread, earlier->event)) return;
    watch.on = false; /* the report reads what it describes */
    watch.on_race(address, &earlier->touch, &now->touch);
}

static void add(struct cell *cell, const struct access *now) {
    for (unsigned i = 0; i < cell->count; i++) {
        struct access *old = &cell->kept[i];
        if (old->touch.thread != now->touch.thread || old->touch.writes != now->touch.writes ||
            old->bytes != now->bytes)
            continue;
        *old = *now; /* who is ordered behind this one is ordered behind the older one */
        return;
    }
    if (cell->count < KEPT) {
        cell->kept[cell->count++] = *now;
        return;
    }
    cell->kept[cell->next] = *now;
    cell->next = (uint8_t)((cell->next + 1) % KEPT);
}

static void touch_cell(uintptr_t address, uint8_t bytes, bool writes, const void *place) {
    struct cell *cell = cell_of(address);
    if (cell == NULL) return;
    struct access now = {{watch.thread, writes, place}, views_event(watch.thread), bytes};
    for (unsigned i = 0; i < cell->count; i++) compare(address, &cell->kept[i], &now);
    add(cell, &now);
}

/* Where the allocator's variables lie, among those of the program; and the counters of coverage,
   which count without an order. */
extern char __data_start[], _end[];
extern char __start___sancov_cntrs[] __attribute__((weak));
extern char __stop___sancov_cntrs[] __attribute__((weak));

static bool is_between(uintptr_t address, const char *start, const char *end) {
    return address - (uintptr_t)start < (uintptr_t)end - (uintptr_t)start;
}

static bool is_watched(uintptr_t address) {
    return address - ARENA_START < ARENA_SIZE ||
           (is_between(address, __data_start, _end) &&
            !is_between(address, __start___sancov_cntrs, __stop___sancov_cntrs));
}

void watch_access(uintptr_t address, size_t size, bool writes, const void *place) {
    if (!watch.on || !is_watched(address)) return;
    for (uintptr_t end = address + size; address < end;) {
        uintptr_t start = round_down(address, BYTES), behind = start + BYTES;
        unsigned first = (unsigned)(address - start);
        unsigned count = (unsigned)((behind < end ? behind : end) - address);
        touch_cell(start, (uint8_t)(((1u << count) - 1) << first), writes, place);
        address = behind;
    }
}

/* --- What the compiler's passes call --------------------------------------------------------- */

#if !UNDER_THREAD_SANITIZER

#define HERE __builtin_return_address(0)

static inline void tell(const void *address, size_t size, bool writes, const void *place) {
    watch.told = true;
    if (MOAT_UNLIKELY(watch.on)) watch_access((uintptr_t)address, size, writes, place);
}

/* Names that a compiler knows, declared by nobody. */
#define ANNOUNCES(name, size, writes)                                                              \
    void name(const void *address);                                                                \
    void name(const void *address) { tell(address, (size), (writes), HERE); }
ANNOUNCES(__tsan_read1, 1, false)
ANNOUNCES(__tsan_read2, 2, false)
ANNOUNCES(__tsan_read4, 4, false)
ANNOUNCES(__tsan_read8, 8, false)
ANNOUNCES(__tsan_read16, 16, false)
ANNOUNCES(__tsan_write1, 1, true)
ANNOUNCES(__tsan_write2, 2, true)
ANNOUNCES(__tsan_write4, 4, true)
ANNOUNCES(__tsan_write8, 8, true)
ANNOUNCES(__tsan_write16, 16, true)
ANNOUNCES(__tsan_unaligned_read2, 2, false)
ANNOUNCES(__tsan_unaligned_read4, 4, false)
ANNOUNCES(__tsan_unaligned_read8, 8, false)
ANNOUNCES(__tsan_unaligned_read16, 16, false)
ANNOUNCES(__tsan_unaligned_write2, 2, true)
ANNOUNCES(__tsan_unaligned_write4, 4, true)
ANNOUNCES(__tsan_unaligned_write8, 8, true)
ANNOUNCES(__tsan_unaligned_write16, 16, true)
ANNOUNCES(__tsan_read_write1, 1, true)
ANNOUNCES(__tsan_read_write2, 2, true)
ANNOUNCES(__tsan_read_write4, 4, true)
ANNOUNCES(__tsan_read_write8, 8, true)
ANNOUNCES(__tsan_read_write16, 16, true)
/* what is volatile is no protocol's */
#define PASSES_OVER(name)                                                                          \
    void name(const void *address);                                                                \
    void name(const void *address) { (void)address; }
PASSES_OVER(__tsan_volatile_read1)
PASSES_OVER(__tsan_volatile_read2)
PASSES_OVER(__tsan_volatile_read4)
PASSES_OVER(__tsan_volatile_read8)
PASSES_OVER(__tsan_volatile_write1)
PASSES_OVER(__tsan_volatile_write2)
PASSES_OVER(__tsan_volatile_write4)
PASSES_OVER(__tsan_volatile_write8)
PASSES_OVER(__tsan_func_entry)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_read_range(const void *address, size_t size);
void __tsan_read_range(const void *address, size_t size) { tell(address, size, false, HERE); }
void __tsan_write_range(const void *address, size_t size);
void __tsan_write_range(const void *address, size_t size) { tell(address, size, true, HERE); }
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size) {
    tell(from, size, false, HERE);
    tell(to, size, true, HERE);
    return __builtin_memcpy(to, from, size);
}
void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size) {
    tell(from, size, false, HERE);
    tell(to, size, true, HERE);
    return __builtin_memmove(to, from, size);
}
void *__tsan_memset(void *to, int value, size_t size);
void *__tsan_memset(void *to, int value, size_t size) {
    tell(to, size, true, HERE);
    return __builtin_memset(to, value, size);
}

/* Accesses to shared words: atomic.h has announced them. The strongest order serves all. */
#define PLAYS_ATOMIC(bits)                                                                         \
    typedef uint##bits##_t word##bits;                                                             \
    word##bits __tsan_atomic##bits##_load(const volatile word##bits *word, int order);             \
    word##bits __tsan_atomic##bits##_load(const volatile word##bits *word, int order) {            \
        (void)order;                                                                               \
        return __atomic_load_n(word, __ATOMIC_SEQ_CST);                                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile word##bits *word, word##bits value, int order);      \
    void __tsan_atomic##bits##_store(volatile word##bits *word, word##bits value, int order) {     \
        (void)order;                                                                               \
        __atomic_store_n(word, value, __ATOMIC_SEQ_CST);                                           \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile word##bits *word,                   \
                                                      word##bits *expected, word##bits value,      \
                                                      int order, int otherwise);                   \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile word##bits *word,                   \
                                                      word##bits *expected, word##bits value,      \
                                                      int order, int otherwise) {                  \
        (void)order, (void)otherwise;                                                              \
        return __atomic_compare_exchange_n(word, expected, value, false, __ATOMIC_SEQ_CST,         \
                                           __ATOMIC_SEQ_CST);                                      \
    }                                                                                              \
    word##bits __tsan_atomic##bits##_compare_exchange_val(volatile word##bits *word,               \
                                                          word##bits expected, word##bits value,   \
                                                          int order, int otherwise);               \
    word##bits __tsan_atomic##bits##_compare_exchange_val(volatile word##bits *word,               \
                                                          word##bits expected, word##bits value,   \
                                                          int order, int otherwise) {              \
        (void)order, (void)otherwise;                                                              \
        (void)__atomic_compare_exchange_n(word, &expected, value, false, __ATOMIC_SEQ_CST,         \
                                          __ATOMIC_SEQ_CST);                                       \
        return expected;                                                                           \
    }
#define PLAYS_CHANGE(bits, name, builtin)                                                          \
    word##bits __tsan_atomic##bits##_##name(volatile word##bits *word, word##bits value,           \
                                            int order);                                            \
    word##bits __tsan_atomic##bits##_##name(volatile word##bits *word, word##bits value,           \
                                            int order) {                                           \
        (void)order;                                                                               \
        return builtin(word, value, __ATOMIC_SEQ_CST);                                             \
    }
#define PLAYS_ALL(bits)                                                                            \
    PLAYS_ATOMIC(bits)                                                                             \
    PLAYS_CHANGE(bits, exchange, __atomic_exchange_n)                                              \
    PLAYS_CHANGE(bits, fetch_add, __atomic_fetch_add)                                              \
    PLAYS_CHANGE(bits, fetch_sub, __atomic_fetch_sub)                                              \
    PLAYS_CHANGE(bits, fetch_and, __atomic_fetch_and)                                              \
    PLAYS_CHANGE(bits, fetch_or, __atomic_fetch_or)                                                \
    PLAYS_CHANGE(bits, fetch_xor, __atomic_fetch_xor)
PLAYS_ALL(8)
PLAYS_ALL(16)
PLAYS_ALL(32)
PLAYS_ALL(64)

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) { (void)order; }
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
