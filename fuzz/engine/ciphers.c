/*
 * ciphers: ChaCha20 and SipHash, plainly. See the header.
 */
#include "engine/ciphers.h"

#include <string.h>

/* --- ChaCha20 -------------------------------------------------------------------------------- */

static uint32_t turn(uint32_t word, unsigned by) { return word << by | word >> (32 - by); }

/* One column or diagonal, by the numbers of its words. */
static void quarter(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d) {
    const struct {
        unsigned to, from, turned, by;
    } steps[] = {{a, b, d, 16}, {c, d, b, 12}, {a, b, d, 8}, {c, d, b, 7}};
    for (unsigned i = 0; i < 4; i++) {
        x[steps[i].to] += x[steps[i].from];
        x[steps[i].turned] = turn(x[steps[i].turned] ^ x[steps[i].to], steps[i].by);
    }
}

static void block_of(const uint64_t key[4], uint32_t counter, uint64_t *out) {
    static const char constant[] = "expand 32-byte k";
    uint32_t start[16] = {0}, x[16];
    memcpy(start, constant, 16);
    memcpy(start + 4, key, 32);
    start[12] = counter;
    memcpy(x, start, sizeof x);
    for (unsigned round = 0; round < 20; round++) {
        unsigned shift = round % 2; /* columns, then diagonals */
        for (unsigned i = 0; i < 4; i++)
            quarter(x, i, 4 + (i + shift) % 4, 8 + (i + 2 * shift) % 4, 12 + (i + 3 * shift) % 4);
    }
    for (unsigned i = 0; i < 16; i++) x[i] += start[i];
    memcpy(out, x, sizeof x);
}

void cipher_stream_begin(struct cipher_stream *stream, uint64_t seed) {
    memset(stream, 0, sizeof *stream);
    stream->key[0] = seed;
}

uint64_t cipher_stream_next(struct cipher_stream *stream) {
    if (stream->left == 0) {
        uint64_t blocks[32];
        for (uint32_t i = 0; i < 4; i++) block_of(stream->key, i, blocks + (size_t)8 * i);
        memcpy(stream->key, blocks, sizeof stream->key);
        memcpy(stream->words, blocks + 4, sizeof stream->words);
        stream->left = 24;
    }
    return stream->words[--stream->left];
}

/* --- SipHash --------------------------------------------------------------------------------- */

static uint64_t turn64(uint64_t word, unsigned by) { return word << by | word >> (64 - by); }

static void mix(uint64_t v[4], unsigned rounds) {
    while (rounds-- > 0) {
        for (unsigned half = 0; half < 2; half++) {
            unsigned other = half == 0 ? 2 : 0; /* whom v1 is added to, and v3 the other one */
            v[2 * half] += v[1];
            v[other] += v[3];
            v[1] = turn64(v[1], half == 0 ? 13 : 17) ^ v[2 * half];
            v[3] = turn64(v[3], half == 0 ? 16 : 21) ^ v[other];
            v[2 * half] = turn64(v[2 * half], 32);
        }
    }
}

uint64_t cipher_siphash13(const uint64_t key[2], uint64_t message) {
    static const char constant[] = "somepseudorandomlygeneratedbytes";
    uint64_t v[4], blocks[2] = {message, (uint64_t)8 << 56};
    for (unsigned i = 0; i < 4; i++) {
        v[i] = 0;
        for (unsigned byte = 0; byte < 8; byte++)
            v[i] = v[i] << 8 | (unsigned char)constant[8 * i + byte];
        v[i] ^= key[i % 2];
    }
    for (unsigned i = 0; i < 2; i++) {
        v[3] ^= blocks[i];
        mix(v, 1);
        v[0] ^= blocks[i];
    }
    v[2] ^= 0xff;
    mix(v, 3);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
