/*
 * alloc: the verbs. What posix.h dresses in the C library's names.
 *
 * None of these sets errno. NULL means out of memory (or a size above PTRDIFF_MAX). Misuse ends the
 * process with a report; with on=report it does nothing, and gives NULL or 0. All may be called by
 * any thread at any time, before initialisation and after the thread's exit hook too; not from a
 * signal handler that interrupted one of them (that is reported).
 *
 * The fast paths are inline: one small block, of the running thread's own pages, nothing unusual.
 * All else is alloc.c.
 */
#ifndef MOAT_ALLOC_H
#define MOAT_ALLOC_H

#include "heap/heap.h"
#include "meta/request.h"

/* What every way off the fast paths asks first: starts the allocator, recovers a child that was
   forked without handlers, reports a signal handler that has interrupted it. False: no memory to
   start with; or such a handler calls, and with on=report nothing is to be done. */
bool alloc_is_ready(void);

MOAT_NOINLINE void *alloc_block_slow(size_t size);
MOAT_NOINLINE void alloc_free_slow(void *block);
/* For C++'s operators, whose blocks the strict level tells from those of malloc: says of a block
   that was just allocated by which family; NULL stays NULL. */
void *alloc_mark_family(void *block, enum family family);
void alloc_delete_slow(void *block, enum family family);

/* The fast path alone: NULL when it does not apply. */
MOAT_INLINE void *alloc_block_fast(size_t size) {
    uintptr_t word = thread_word();
    if (MOAT_UNLIKELY(!is_heap(word) || size > DIRECT_MAX)) return NULL;
    struct heap *heap = (struct heap *)word;
    heap_enter_fast();
    /* entry 0 is always page_empty */
    struct page *page = heap_direct_page(heap, size);
    void *block = page_try_pop(page);
    heap_leave_fast(heap);
    return block;
}

MOAT_INLINE void *alloc_block(size_t size) {
    void *block = alloc_block_fast(size);
    return MOAT_LIKELY(block != NULL) ? block : alloc_block_slow(size);
}

/* What enter_own_page finds beside the page. */
struct own_block {
    struct heap *heap;
    uint64_t granule; /* of the address, from the region's base */
};

MOAT_INLINE struct own_block own_block(struct heap *heap, uintptr_t address) {
    return (struct own_block){heap, (address - ro.region_base) >> GRANULE_SHIFT};
}

/* The page of an address in a small page of the running thread's heap, with the thread marked busy;
   NULL: anything else. */
MOAT_INLINE struct page *enter_own_page(uintptr_t address, struct own_block *own) {
    /* Rotated: what is no multiple of a granule comes out as large, and leaves by the compare of
       the range. */
    uint64_t granule = rotr64(address - ro_load(region_base), GRANULE_SHIFT);
    if (MOAT_UNLIKELY(granule >= ro_extent())) return NULL;
    /* The table can be read below the extent, and only this thread writes its heap there
       (page_give_to). The thread's word may have been overwritten, but what equals an entry is a
       heap, or 0. */
    uint64_t slot = granule >> (SLOT_SHIFT - GRANULE_SHIFT);
    uintptr_t word = thread_word();
    if (MOAT_UNLIKELY(!atomic_equals_relaxed(&ro.local_heaps[slot], word) || word == 0))
        return NULL;
    heap_enter_fast();
    own->heap = (struct heap *)word;
    own->granule = granule;
    struct page *page = &ro.pages[slot];
    if (page == NULL) __builtin_unreachable();
    return page;
}

/* What is left of the owner's free, of any kind of page, inside the fast path's bracket, which it
   leaves. False, and nothing has changed: the address is no live block. A fast path then goes the
   slow way, which finds the same and reports it: so it has one way out, and no call in it. */
MOAT_INLINE bool free_in_own_page(struct own_block own, struct page *page, uintptr_t address) {
    struct heap *heap = own.heap;
    if (HARDENED_MAP && MOAT_UNLIKELY(!map_give(map_word_of_granule(own.granule), own.granule))) {
        heap_leave_fast(heap);
        return false;
    }
    if (MOAT_UNLIKELY(page_push(page, address)))
        heap_page_event(heap, page);
    else
        heap_leave_fast(heap);
    return true;
}

/* The fast path alone: false when it does not apply. */
MOAT_INLINE bool alloc_free_fast(void *block) {
    struct own_block own;
    struct page *page = enter_own_page((uintptr_t)block, &own);
    return MOAT_LIKELY(page != NULL) && free_in_own_page(own, page, (uintptr_t)block);
}

/* block may be NULL. Keeps errno (as all do). */
MOAT_INLINE void alloc_free(void *block) {
    if (MOAT_UNLIKELY(!alloc_free_fast(block))) alloc_free_slow(block);
}

/* block may be NULL. The size (and alignment) must lead to the block's size, and at the strict
   level be what was asked for: options.sized says what happens if not. `family`: who frees. */
void alloc_free_aligned_sized(void *block, size_t alignment, size_t size, enum family family);

/* The class decides: the right one is freed as ever, anything else is looked at closely. The class
   of the size is that of the page malloc would take such a block from; a class that has none now is
   looked at closely too. */
MOAT_INLINE bool alloc_free_sized_fast(void *block, size_t size) {
    struct own_block own;
    if (size - 1 >= DIRECT_MAX) return false;
    struct page *page = enter_own_page((uintptr_t)block, &own);
    if (MOAT_UNLIKELY(page == NULL)) return false;
    if (MOAT_UNLIKELY(page->size_class != heap_direct_page(own.heap, size)->size_class)) {
        heap_leave_fast(own.heap);
        return false;
    }
    /* reported without the size, which would take a register until here */
    if (MOAT_UNLIKELY(!free_in_own_page(own, page, (uintptr_t)block))) alloc_free_slow(block);
    return true;
}

MOAT_INLINE void alloc_free_sized(void *block, size_t size) {
    if (MOAT_UNLIKELY(!alloc_free_sized_fast(block, size)))
        alloc_free_aligned_sized(block, GRANULE, size, FAMILY_MALLOC);
}

void *alloc_zeroed(size_t size);
/* `alignment` is a power of two of at most ALIGN_MAX. */
void *alloc_aligned(size_t alignment, size_t size);
/* block may be NULL. On NULL the old block is untouched. new_size 0 is for the caller to decide:
   here it makes a zero-size block. */
void *alloc_resize(void *block, size_t new_size);
/* For who knows the alignment and not the size. */
void alloc_free_aligned(void *block, size_t alignment, enum family family);
/* 0 for NULL and for zero-size blocks. */
size_t alloc_usable_size(const void *block);
/* True when the address lies in moat's range (whether or not it is a live block). */
bool alloc_owns(const void *address);
/* Collects the calling thread's heap and what is abandoned; with `purge` also gives unused memory
   back to the kernel at once. True if memory went back. */
bool alloc_collect(bool purge);
/* The same with `purge`, and asks other threads for theirs: it follows when each next needs a page
   with a block, or ends. */
bool alloc_trim(void);

#endif
