/*
 * random: ChaCha20 with fast key erasure (see random.h).
 *
 * A refill computes four blocks under the current key and a zero nonce: the first 32 bytes replace
 * the key before anything is handed out, and 192 bytes become the words. Each word is erased as it
 * is taken, so that a later look at the memory tells nothing of numbers already used. All of it
 * lies in the generator, which the kernel wipes on fork. Keeps errno.
 */
#include "meta/random.h"

#include "base/bits.h"
#include "meta/locks.h"
#include "os/os.h"
#include "report/report.h"

#define BLOCK_WORDS 8 /* 64-bit */
#define KEY_WORDS 4

static_assert(REFILL_BLOCKS * BLOCK_WORDS >= KEY_WORDS + RANDOM_WORDS,
              "a refill fills key and words");

/* The same word of four blocks. */
typedef uint32_t lanes __attribute__((vector_size(4 * sizeof(uint32_t))));
static_assert(sizeof(lanes) == REFILL_BLOCKS * sizeof(uint32_t), "a lane for each block");

MOAT_INLINE lanes rotl_lanes(lanes words, unsigned by) {
    return (words << by) | (words >> (32 - by));
}
MOAT_INLINE lanes all_lanes(uint32_t word) { return (lanes){word, word, word, word}; }

#define QUARTER_ROUND(a, b, c, d)                                                                  \
    do {                                                                                           \
        a += b;                                                                                    \
        d = rotl_lanes(d ^ a, 16);                                                                 \
        c += d;                                                                                    \
        b = rotl_lanes(b ^ c, 12);                                                                 \
        a += b;                                                                                    \
        d = rotl_lanes(d ^ a, 8);                                                                  \
        c += d;                                                                                    \
        b = rotl_lanes(b ^ c, 7);                                                                  \
    } while (0)

void random_chacha20_blocks(uint32_t out[REFILL_BLOCKS][16], const uint32_t key[8],
                            uint32_t counter, const uint32_t nonce[3]) {
    const uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1],
                                key[2],     key[3],     key[4],     key[5],     key[6], key[7],
                                counter,    nonce[0],   nonce[1],   nonce[2]};
    const lanes number = {0, 1, 2, 3};
    lanes x[16];
    for (unsigned i = 0; i < 16; i++) x[i] = all_lanes(start[i]);
    x[12] += number;
    for (unsigned round = 0; round < 10; round++) {
        QUARTER_ROUND(x[0], x[4], x[8], x[12]);
        QUARTER_ROUND(x[1], x[5], x[9], x[13]);
        QUARTER_ROUND(x[2], x[6], x[10], x[14]);
        QUARTER_ROUND(x[3], x[7], x[11], x[15]);
        QUARTER_ROUND(x[0], x[5], x[10], x[15]);
        QUARTER_ROUND(x[1], x[6], x[11], x[12]);
        QUARTER_ROUND(x[2], x[7], x[8], x[13]);
        QUARTER_ROUND(x[3], x[4], x[9], x[14]);
    }
    for (unsigned i = 0; i < 16; i++) {
        lanes sum = x[i] + all_lanes(start[i]);
        if (i == 12) sum += number;
        for (unsigned block = 0; block < REFILL_BLOCKS; block++) out[block][i] = sum[block];
    }
}

/* A store the compiler may not drop, for what must not stay in memory. */
static void erase(void *start, size_t size) {
    __builtin_memset(start, 0, size);
    __asm__ volatile("" : : "r"(start) : "memory");
}

/* A new key from the old one and an input, and as many bytes more that tell nothing of either. */
static void step_root(struct random_root *root, uint64_t input, uint64_t *seed) {
    const uint32_t nonce[3] = {(uint32_t)input, (uint32_t)(input >> 32),
                               (uint32_t)(root->steps >> 32)};
    union {
        uint32_t narrow[REFILL_BLOCKS][16]; /* the first is used */
        uint64_t wide[2 * KEY_WORDS];
    } block;
    uint32_t key[2 * KEY_WORDS];
    for (unsigned i = 0; i < KEY_WORDS; i++) {
        key[2 * i] = (uint32_t)root->key[i];
        key[2 * i + 1] = (uint32_t)(root->key[i] >> 32);
    }
    random_chacha20_blocks(block.narrow, key, (uint32_t)root->steps++, nonce);
    for (unsigned i = 0; i < KEY_WORDS; i++) root->key[i] = block.wide[i];
    for (unsigned i = 0; seed != NULL && i < KEY_WORDS; i++) seed[i] = block.wide[KEY_WORDS + i];
    erase(&block, sizeof block);
    erase(key, sizeof key);
}

void random_start(struct random_root *root, struct random *random) {
    for (unsigned i = 0; i < KEY_WORDS; i++) root->key[i] = random_next(random);
    root->steps = 0;
}

/* Two children of one parent may each be process 1 of its own, and run on copies of one stack: then
   the time tells them apart. */
void random_recover(struct random_root *root) {
    step_root(root, (uint64_t)os_process_id() << 32 | os_thread_id(), NULL);
    step_root(root, os_nanoseconds(), NULL);
    step_root(root, (uintptr_t)&root, NULL);
}

static void seed(struct random *random) {
    if (ro.random_root != NULL) {
        locks_acquire(LOCK_RANDOM);
        step_root(ro.random_root, os_nanoseconds_coarsely(), random->key);
        locks_release(LOCK_RANDOM);
    } else if (!os_random(random->key, sizeof random->key)) {
        report_stop(STOP_NO_RANDOM_BYTES, NULL);
    }
    random->left = 0;
    random->seeded = 1;
}

/* Adds nothing from elsewhere: seeding is once, and again after a wipe. */
static void refill(struct random *random) {
    static const uint32_t nonce[3] = {0, 0, 0};
    uint32_t key[8];
    union {
        uint32_t narrow[REFILL_BLOCKS][16];
        uint64_t wide[REFILL_BLOCKS * BLOCK_WORDS];
    } stream;
    for (unsigned i = 0; i < KEY_WORDS; i++) {
        key[2 * i] = (uint32_t)random->key[i];
        key[2 * i + 1] = (uint32_t)(random->key[i] >> 32);
    }
    random_chacha20_blocks(stream.narrow, key, 0, nonce);
    for (unsigned i = 0; i < KEY_WORDS; i++) random->key[i] = stream.wide[i];
    for (unsigned i = 0; i < RANDOM_WORDS; i++) random->words[i] = stream.wide[KEY_WORDS + i];
    random->left = RANDOM_WORDS;
    erase(&stream, sizeof stream);
    erase(key, sizeof key);
}

uint64_t random_next(struct random *random) {
    if (MOAT_UNLIKELY(random->seeded != 1)) seed(random);
    if (MOAT_UNLIKELY(random->left == 0)) refill(random);
    uint32_t left = random->left;
    /* wiped just now: a handler forked, and this is the child */
    if (MOAT_UNLIKELY(left == 0)) return random_next(random);
    MOAT_CHECK(left <= RANDOM_WORDS, "random generator is damaged", random);
    uint32_t last = random->left = left - 1;
    uint64_t word = random->words[last];
    random->words[last] = 0;
    return word;
}

/* A 64-bit number times the bound, high half: of any result the chance is off by less than bound /
   2^64. */
uint32_t random_below(struct random *random, uint32_t bound) {
    return bound <= 1 ? 0 : (uint32_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

void random_seed_fixed(struct random *random, uint64_t seed) {
    __builtin_memset(random, 0, sizeof *random);
    random->key[0] = seed;
    random->seeded = 1;
}
