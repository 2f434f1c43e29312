/*
 * bits: word-level helpers without a branch.
 *
 * Pure functions. What a processor does in one instruction that the compiler does not find stands
 * in cpu.h.
 */
#ifndef MOAT_BITS_H
#define MOAT_BITS_H

#include "base/base.h"

MOAT_INLINE uint64_t bit64(uint64_t index) { return (uint64_t)1 << (index & 63); }
MOAT_INLINE bool has_bit(uint64_t word, uint64_t index) {
    return ((word >> (index & 63)) & 1) != 0;
}
MOAT_INLINE unsigned low_bit(uint64_t word) { return (unsigned)__builtin_ctzll(word); }
MOAT_INLINE unsigned high_bit(uint64_t word) { return 63u - (unsigned)__builtin_clzll(word); }
/* Two words at once, where a register holds them; of memory that is anybody's. */
typedef uint64_t word_pair __attribute__((vector_size(16), may_alias));
MOAT_INLINE uint64_t either_word(word_pair pair) { return pair[0] | pair[1]; }

MOAT_INLINE unsigned popcount64(uint64_t word) { return (unsigned)__builtin_popcountll(word); }
/* The checker holds that an unsigned 0 cannot be shifted. */
/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
MOAT_INLINE uint64_t rotl64(uint64_t word, unsigned by) {
    return (word << (by & 63)) | (word >> ((64 - by) & 63));
}
MOAT_INLINE uint64_t rotr64(uint64_t word, unsigned by) {
    return (word >> (by & 63)) | (word << ((64 - by) & 63));
}

/* `count` low bits set; count 0..64. */
MOAT_INLINE uint64_t low_mask(unsigned count) {
    return count >= 64 ? ~(uint64_t)0 : (((uint64_t)1 << count) - 1);
}

/* The index of the n-th set bit, counting from 0; the word must have more than n bits set. */
MOAT_INLINE unsigned nth_bit(uint64_t word, unsigned n) {
    while (n-- > 0) word &= word - 1;
    return low_bit(word);
}

#endif
