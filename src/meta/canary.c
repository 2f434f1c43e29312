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
    for (unsigned i = 0; i < 3; i++) sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

#define EACH_BYTE(byte) ((byte) * (UINT64_MAX / UINT8_MAX))

/* 1 in each byte that is 0, and perhaps in a byte of 1 above one. */
static uint64_t zero_bytes(uint64_t word) {
    return (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80);
}

uint64_t canary_of(uintptr_t block) {
    uint64_t value = sip_hash(ro.canary_key, block);
    return value | zero_bytes(value) >> 7;
}

/* Byte number i of any address that is a multiple of eight is byte number i of the value. */
static unsigned char canary_byte(uint64_t value, uintptr_t address) {
    unsigned char bytes[sizeof value];
    __builtin_memcpy(bytes, &value, sizeof value);
    return bytes[address % sizeof value];
}

static uintptr_t whole_from(uintptr_t from, uintptr_t to) {
    uintptr_t first = round_up(from, sizeof(uint64_t));
    return first < to ? first : to;
}

void canary_fill(uintptr_t block, uintptr_t from, uintptr_t to) {
    uint64_t value = canary_of(block);
    uintptr_t whole = whole_from(from, to);
    if (IN_HARNESS && from < to) os_seam.touch(from, to - from);
    for (; from < whole; from++)
        atomic_store_unseen((unsigned char *)from, canary_byte(value, from));
    for (; to - from >= sizeof value; from += sizeof value)
        atomic_store_unseen((uint64_t *)from, value);
    for (; from < to; from++) atomic_store_unseen((unsigned char *)from, canary_byte(value, from));
}

static uintptr_t check_bytes(uint64_t value, uintptr_t from, uintptr_t to) {
    for (; from < to; from++)
        if (atomic_load_unseen((const unsigned char *)from) != canary_byte(value, from))
            return from;
    return 0;
}

uintptr_t canary_check(uintptr_t block, uintptr_t from, uintptr_t to) {
    uint64_t value = canary_of(block);
    uintptr_t whole = whole_from(from, to);
    uintptr_t wrong = check_bytes(value, from, whole);
    if (wrong != 0) return wrong;
    for (; to - whole >= sizeof value; whole += sizeof value)
        if (atomic_load_unseen((const uint64_t *)whole) != value)
            return check_bytes(value, whole, whole + sizeof value);
    return check_bytes(value, whole, to);
}

uintptr_t zero_check(uintptr_t from, uintptr_t to) {
    const volatile word_pair *pair = (const volatile word_pair *)from;
    const volatile word_pair *end = (const volatile word_pair *)to;
    word_pair any = {0, 0};
    for (; end - pair >= 4; pair += 4) any |= (pair[0] | pair[1]) | (pair[2] | pair[3]);
    for (; pair < end; pair++) any |= *pair;
    if (MOAT_LIKELY(either_word(any) == 0)) return 0;
    while (from < to && atomic_load_unseen((const unsigned char *)from) == 0) from++;
    return from;
}
