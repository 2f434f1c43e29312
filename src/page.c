#include "page.h"
#include "report.h"

/* A page's fresh blocks are carved this many bytes at a time; once a class has used a page that far, the larger step. */
#define CARVE_STEP (4 * KIB)
#define CARVE_STEP_HOT (16 * KIB)
/* Fewer have no order to speak of. Each costs the process an OS page once blocks are larger than that. */
#define CARVE_BLOCKS_MIN 4u

const struct page page_empty = {.free = OFFSET_NONE, .local_free = OFFSET_NONE, .slow_at = SLOW_ALWAYS};

static const char page_kind_names[][8] = {"small", "medium", "large"};

static struct report_facts page_facts(const struct page *page, uintptr_t address) {
    size_t offset = address - page->start;
    return (struct report_facts){.block_start = page->start + offset / page->block_size * page->block_size,
                                 .block_size = page->block_size,
                                 .page_start = page->start,
                                 .page_size = page_kind_size(class_page_kind(page->class)),
                                 .page_kind = page_kind_names[class_page_kind(page->class)],
                                 .segment_start = round_down(address, SEGMENT_SIZE),
                                 .segment_owner = "this thread"};
}

MOAT_NORETURN MOAT_COLD static void report_bad_link(const struct page *page, uintptr_t address) {
    struct report_facts facts = page_facts(page, address);
    facts.block_state = "free, its link overwritten";
    report_fatal(REPORT_CORRUPT_LINK, "free list is damaged", address, &facts);
}

/* The list named a block that is not free. Either a claim stands (a remote free raced a local one: the second free of the block),
   or the block is live (a link was made to name it, or two frees raced). */
MOAT_NORETURN MOAT_COLD static void report_bad_block(const struct page *page, uintptr_t address) {
    struct report_facts facts = page_facts(page, address);
    bool claimed = (atomic_load_relaxed(&map_word_of(address)->claim) & map_bit_of(address)) != 0;
    facts.block_state = claimed ? "free, and freed again by another thread" : "in use, and on a free list";
    if (claimed) report_fatal(REPORT_DOUBLE_FREE, "second free of a block", address, &facts);
    report_fatal(REPORT_CORRUPT_LINK, "free list is damaged", address, &facts);
}

void *page_pop(struct page *page) {
    void *block = page_try_pop(page);
    if (MOAT_LIKELY(block != NULL)) return block;
    uintptr_t address = page->start + page->free;
    uint64_t next = link_decode(link_load(address), page->secret, address);
    if (!link_is_block(next, page->limit, page->reciprocal) && next != OFFSET_NONE) report_bad_link(page, address);
    report_bad_block(page, address);
}

void page_init(struct page *page, uintptr_t start, size_t bytes, uint32_t class, bool zeroed, struct random *random) {
    size_t block_size = class_size(class);
    page->free = OFFSET_NONE;
    page->local_free = OFFSET_NONE;
    page->used = 0;
    page->slow_at = SLOW_WHEN_EMPTY;
    page->secret = random_next(random);
    page->reciprocal = block_reciprocal(block_size);
    page->start = start;
    page->limit = 0;
    page->block_size = (uint32_t)block_size;
    page->next = page->prev = 0;
    page->carved = 0;
    page->capacity = (uint16_t)(bytes / block_size);
    page->class = (uint8_t) class;
    page->full = false;
    page->zeroed = zeroed;
    atomic_store_relaxed(&page->pending, 0);
}

void page_retire(struct page *page, size_t bytes) {
    if (HARDENED_MAP) {
        const struct map_word *word = map_word_of(page->start);
        for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++) {
            uint64_t claim = atomic_load_relaxed(&word[i].claim);
            if (claim != 0) report_bad_block(page, page->start + i * MAP_WORD_SPAN + low_bit(claim) * GRANULE);
            MOAT_CHECK(atomic_load_relaxed(&word[i].live) == 0, "page given back with a live block", page->start);
        }
    }
    /* block_size stays for reports on stale pointers; nothing is on a list and nothing can be carved. */
    page->free = page->local_free = OFFSET_NONE;
    page->capacity = page->carved;
    page->full = false;
}

/* A list under construction: offsets are linked to their predecessor as they come. */
struct chain {
    uint32_t head, tail;
};

static void chain_append(const struct page *page, struct chain *chain, uint32_t offset) {
    if (chain->head == OFFSET_NONE) {
        chain->head = offset;
    } else {
        uintptr_t tail = page->start + chain->tail;
        link_store(tail, link_encode(offset, page->secret, tail));
    }
    chain->tail = offset;
}

static void chain_end(const struct page *page, const struct chain *chain, uint32_t next) {
    if (chain->head == OFFSET_NONE) return;
    uintptr_t tail = page->start + chain->tail;
    link_store(tail, link_encode(next, page->secret, tail));
}

/*
 * Order: from a random block of the step, around; one block in eight is held back to the end. So the walk stays sequential for
 * the cache, while which block comes next is known with a chance of about 7/8 (SECURITY.md, layout).
 */
void page_carve(struct page *page, struct random *random) {
    size_t step = (size_t)page->carved * page->block_size >= CARVE_STEP_HOT ? CARVE_STEP_HOT : CARVE_STEP;
    uint32_t count = (uint32_t)(step / page->block_size);
    if (count < CARVE_BLOCKS_MIN) count = CARVE_BLOCKS_MIN;
    if (count > (uint32_t)(page->capacity - page->carved)) count = (uint32_t)(page->capacity - page->carved);
    MOAT_ASSERT(count > 0 && page->free == OFFSET_NONE);
    uint32_t start = HARDENED_ORDER ? random_below(random, count) : 0;
    uint64_t held = 0;
    struct chain first = {OFFSET_NONE, OFFSET_NONE}, last = {OFFSET_NONE, OFFSET_NONE};
    for (uint32_t i = 0; i < count; i++) {
        if (HARDENED_ORDER && i % 64 == 0 && count > 1) held = random_next(random) & random_next(random) & random_next(random);
        uint32_t block = page->carved + (start + i < count ? start + i : start + i - count);
        chain_append(page, held & bit64(i) ? &last : &first, block * page->block_size);
    }
    chain_end(page, &last, OFFSET_NONE);
    chain_end(page, &first, last.head);
    page->free = first.head != OFFSET_NONE ? first.head : last.head;
    page->carved = (uint16_t)(page->carved + count);
    page->limit = (uint64_t)page->carved * page->block_size;
}

/* Takes in one map word's claims. Live bits go first: a claim that is seen clear again must find a block that is seen free. */
static void collect_word(struct page *page, struct map_word *word, uintptr_t first) {
    uint64_t claim = atomic_load_acquire(&word->claim); /* pairs with the fetch_or of remote_free */
    if (claim == 0) return;
    uint64_t twice = claim & ~atomic_load_relaxed(&word->live);
    if (MOAT_UNLIKELY(HARDENED_MAP && twice != 0)) report_bad_block(page, first + low_bit(twice) * GRANULE);
    map_clear_live(word, claim);
    for (uint64_t rest = claim; rest != 0; rest &= rest - 1) {
        uintptr_t address = first + low_bit(rest) * GRANULE;
        size_t offset = address - page->start;
        MOAT_CHECK(offset < page->limit && offset_on_boundary(offset, page->reciprocal) && page->used > 0,
                   "a claim names no block in use", address);
        link_store(address, link_encode(page->local_free, page->secret, address));
        page->local_free = (uint32_t)offset;
        page->used--;
    }
    atomic_and_release(&word->claim, ~claim); /* pairs with the fetch_or of the next remote_free of these blocks */
}

static void collect_claims(struct page *page, enum page_kind kind) {
    uint64_t groups = atomic_exchange_acquire(&page->pending, 0) & ~PENDING_FULL; /* pairs with the fetch_or of remote_free */
    struct map_word *words = map_word_of(page->start);
    unsigned shift = page_group_shift(kind);
    for (; groups != 0; groups &= groups - 1) {
        unsigned group = low_bit(groups);
        unsigned from = group << shift, to = (group == 62 ? 64 : group + 1) << shift;
        for (unsigned i = from; i < to; i++) collect_word(page, &words[i], page->start + i * MAP_WORD_SPAN);
    }
}

void page_collect(struct page *page, enum page_kind kind) {
    if (atomic_load_relaxed(&page->pending) != 0) collect_claims(page, kind);
    if (page->free != OFFSET_NONE || page->local_free == OFFSET_NONE) return;
    page->free = page->local_free;
    page->local_free = OFFSET_NONE;
    page->zeroed = false;
}

bool page_mark_full(struct page *page) {
    uint64_t none = 0;
    return atomic_cas_release(&page->pending, &none, PENDING_FULL); /* pairs with the fetch_or of remote_free */
}

void page_rebuild(struct page *page, size_t bytes, struct random *random) {
    struct map_word *words = map_word_of(page->start);
    (void)atomic_exchange_acquire(&page->pending, 0); /* first, as in collect: a claim that comes later marks anew */
    for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++) {
        uint64_t claim = atomic_load_acquire(&words[i].claim); /* pairs with the fetch_or of remote_free */
        map_clear_live(&words[i], claim);
        atomic_and_release(&words[i].claim, ~claim);
    }
    struct chain list = {OFFSET_NONE, OFFSET_NONE};
    page->secret = random_next(random);
    page->used = 0;
    page->limit = (uint64_t)page->carved * page->block_size;
    for (uint32_t offset = 0; offset < page->limit; offset += page->block_size) {
        uintptr_t address = page->start + offset;
        if (map_word_of(address)->live & map_bit_of(address))
            page->used++;
        else
            chain_append(page, &list, offset);
    }
    chain_end(page, &list, OFFSET_NONE);
    page->free = list.head;
    page->local_free = OFFSET_NONE;
    page->zeroed = false;
}

/* Counts a list's blocks; -1 if a link is false, a block is not free, or there are more than the page has. */
static int32_t list_length(const struct page *page, uint32_t head) {
    int32_t length = 0;
    uint64_t offset = head;
    for (; offset != OFFSET_NONE; length++) {
        if (!link_is_block(offset, page->limit, page->reciprocal) || length > page->carved) return -1;
        uintptr_t address = page->start + offset;
        if (HARDENED_MAP && !map_is_free(map_word_of(address), map_bit_of(address))) return -1;
        offset = link_decode(link_load(address), page->secret, address);
    }
    return length;
}

bool page_validate(const struct page *page, size_t bytes) {
    int32_t free_blocks = list_length(page, page->free), local_blocks = list_length(page, page->local_free);
    if (free_blocks < 0 || local_blocks < 0) return false;
    if (page->used + free_blocks + local_blocks != page->carved || page->carved > page->capacity) return false;
    if (page->limit != (uint64_t)page->carved * page->block_size || page->limit > bytes) return false;
    if (!HARDENED_MAP) return true;
    int32_t live = 0;
    const struct map_word *words = map_word_of(page->start);
    for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++) live += (int32_t)popcount64(atomic_load_relaxed(&words[i].live));
    return live == page->used;
}
