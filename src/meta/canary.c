/*
 * canary: values, filling and checking (see canary.h).
 *
 * The memory is a user's, who may be writing it: each word is read once, by an atomic access.
 */
#include "meta/canary.h"

#include "base/bits.h"
#include "meta/ro.h"
#include "os/os_seam.h"

struct sip {
    uint64_t a, b, c, d;
};

MOAT_INLINE void sip_round(struct sip *v) {
    v->a += v->b;
    v->b = rotl64(v->b, 13) ^ v->a;
    v->a = rotl64(v->a, 32);
    v->c += v->d;
    v->d = rotl64(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = rotl64(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = rotl64(v->b, 17) ^ v->c;
    v->c = rotl64(v->c, 32);
}

/* SipHash-1-3 of eight bytes (Aumasson, Bernstein 2012). */
MOAT_INLINE uint64_t sip_hash(const uint64_t key[2], uint64_t message) {
    const uint64_t length = (uint64_t)sizeof message << 56;
    struct sip v = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                    key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    v.d ^= message;
    sip_round(&v);
    v.a ^= message;
    v.d ^= length;
    sip_round(&v);
    v.a ^= length;
    v.c ^= 0xff;
    sip_round(&v);
    sip_round(&v);
    sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

#define EACH_BYTE(byte) ((byte) * (UINT64_MAX / UINT8_MAX))

/* 1 in each byte that is 0, and perhaps in a byte of 1 above one. */
static uint64_t zero_bytes(uint64_t word) {
    return (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80);
}

MOAT_INLINE uint64_t value_of(uintptr_t block) {
    uint64_t value = sip_hash(ro.canary_key, block);
    return value | zero_bytes(value) >> 7;
}

uint64_t canary_of(uintptr_t block) { return value_of(block); }

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the byte at an address is the lowest");

/* Of the word that an address lies in: the bytes from there on. The canary lies in whole words, of
   which the first and the last may be others' in part. */
static uint64_t bytes_from(uintptr_t address) {
    return UINT64_MAX << address % sizeof(uint64_t) * 8;
}
static uintptr_t word_of(uintptr_t address) { return round_down(address, sizeof(uint64_t)); }

static void fill_part(uintptr_t word, uint64_t value, uint64_t part) {
    uint64_t *at = (uint64_t *)word;
    atomic_store_unseen(at, (atomic_load_unseen(at) & ~part) | (value & part));
}

void canary_fill(uintptr_t block, uintptr_t from, uintptr_t to) {
    uint64_t value = value_of(block), head = bytes_from(from), tail = ~bytes_from(to);
    uintptr_t word = word_of(from), last = word_of(to);
    if (from >= to) return;
    if (IN_HARNESS) os_seam.touch(from, to - from);
    if (word == last) {
        fill_part(word, value, head & tail);
        return;
    }
    fill_part(word, value, head);
    while ((word += sizeof value) < last) atomic_store_unseen((uint64_t *)word, value);
    if (tail != 0) fill_part(last, value, tail);
}

/* 0: the part is right. */
static uintptr_t check_part(uintptr_t word, uint64_t value, uint64_t part) {
    uint64_t wrong = (atomic_load_unseen((const uint64_t *)word) ^ value) & part;
    return MOAT_LIKELY(wrong == 0) ? 0 : word + low_bit(wrong) / 8;
}

uintptr_t canary_check(uintptr_t block, uintptr_t from, uintptr_t to) {
    uint64_t value = value_of(block), head = bytes_from(from), tail = ~bytes_from(to);
    uintptr_t word = word_of(from), last = word_of(to);
    if (from >= to) return 0;
    if (word == last) return check_part(word, value, head & tail);
    uintptr_t wrong = check_part(word, value, head);
    while (wrong == 0 && (word += sizeof value) < last) wrong = check_part(word, value, UINT64_MAX);
    return wrong != 0 || tail == 0 ? wrong : check_part(last, value, tail);
}

/* The last ones may be looked at twice: there is one branch for all sizes, which vary. */
uintptr_t zero_check(uintptr_t from, uintptr_t to) {
    const volatile word_pair *pair = (const volatile word_pair *)from;
    size_t count = (to - from) / sizeof *pair;
    word_pair any = {0, 0};
    if (count == 0) return 0;
    if (count <= 4) {
        any = (pair[0] | pair[(count - 1) / 2]) | (pair[count / 2] | pair[count - 1]);
    } else {
        for (size_t i = 0; i < count - 4; i += 4)
            any |= (pair[i] | pair[i + 1]) | (pair[i + 2] | pair[i + 3]);
        pair += count - 4;
        any |= (pair[0] | pair[1]) | (pair[2] | pair[3]);
    }
    if (MOAT_LIKELY(either_word(any) == 0)) return 0;
    while (from < to && atomic_load_unseen((const unsigned char *)from) == 0) from++;
    return from;
}
