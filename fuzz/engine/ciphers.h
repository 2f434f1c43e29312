/*
 * ciphers: what random numbers and canaries must be, from the standards alone.
 *
 * ChaCha20 a block at a time (RFC 8439, section 2.3) and SipHash of any rounds (Aumasson, Bernstein
 * 2012), written to be compared with moat's, which compute the same in other ways. Pure.
 */
#ifndef ENGINE_CIPHERS_H
#define ENGINE_CIPHERS_H

#include <stdint.h>

/* Numbers as meta/random.h says that a generator gives them: four blocks at a time, of which the
   first 32 bytes are the next key and 24 words are handed out, the last one first. */
struct cipher_stream {
    uint64_t key[4], words[24];
    unsigned left;
};

void cipher_stream_begin(struct cipher_stream *stream, uint64_t seed);
uint64_t cipher_stream_next(struct cipher_stream *stream);

/* SipHash-1-3 of a message of eight bytes. */
uint64_t cipher_siphash13(const uint64_t key[2], uint64_t message);

#endif
