/*
 * strict_page: pages of the strict level, whose free blocks are in no list.
 *
 * All blocks of a page are carved when it is made, and none holds a link: a free block is zero to
 * its last byte, which whoever takes it checks. Which blocks are free the live map alone says;
 * `free_count` says how many, and `local_free` has none. Each is as likely as any other to be taken
 * next, new or used: a permutation that cannot be foretold.
 *
 * A free by any thread is a remote free in two parts: the claim, by which the block is freed, and
 * the release, when it comes out of the freeing thread's quarantine. Only what is released is
 * collected (meta/request.h). So a block in quarantine has both bits set.
 */
#ifndef MOAT_STRICT_PAGE_H
#define MOAT_STRICT_PAGE_H

#include "heap/heap.h"

/* Carves all of a page that was just made. */
void strict_page_open(struct page *page);
/* Takes one of the free blocks, of which there is one, marks it live and cleans its record. By its
   heap's thread alone. */
uintptr_t strict_page_take(struct page *page, struct heap *heap);
/* page_take_claims: takes in what is released. */
void strict_page_collect(struct page *page, enum page_kind kind);
/* The same of one block of the heap's own that is released, without a search: inside a generic path
   of the heap, as every collect. */
void strict_page_take_in(struct page *page, uintptr_t block);
/* Those of the claims of a map word, which begins at `first`, that are released. */
uint64_t strict_page_released(uint64_t claim, uintptr_t first);
/* In a forked child, when no quarantine holds anything: what is claimed in a page (or in memory
   that was one) is released. What a thread that is gone was freeing may not be zero yet. */
void strict_page_release_all(const struct page *page, uintptr_t start, size_t bytes);
/* The counts agree with the maps. */
bool strict_page_validate(const struct page *page, size_t bytes);

#endif
