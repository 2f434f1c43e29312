/*
 * page: carving, collecting, and the ends of a page (see page.h).
 *
 * All but page_describe() and page_validate() are the owner's, inside a bracket. Free memory is the
 * attacker's: whatever a list leads to is a free block of the page or a report.
 */
#include "heap/page.h"
#include "heap/strict_page.h"
#include "heap/usage.h"
#include "report/report.h"

/* A page's fresh blocks are carved this many bytes at a time; once a class has used a page that
   far, the larger step. */
#define CARVE_STEP (4 * KIB)
#define CARVE_STEP_HOT (16 * KIB)
/* Fewer have no order to speak of. Each costs the process an OS page once blocks are larger than
   that; really large ones come one at a time, so that a freed one is taken again before memory that
   was never touched. */
#define CARVE_BLOCKS_MIN 4u
#define CARVE_ONE_ABOVE (16 * KIB)

const struct page page_empty = {.free_count = 0, .size_class = UINT8_MAX};

void page_describe(const struct page *page, enum page_kind kind, uintptr_t address,
                   struct report_facts *facts) {
    static const char *const names[] = {"", "small", "medium", "large"};
    size_t size = page->block_size;
    facts->page_start = segment_address(0) + ((uintptr_t)page_index(page) << SLOT_SHIFT);
    facts->page_size = page_kind_size(kind);
    facts->page_kind = names[kind];
    facts->block_size = size;
    facts->block_start = size == 0 ? 0 : address - (address - facts->page_start) % size;
}

/* Of a page whose owner found the damage. */
static struct report_facts facts_of_own(const struct page *page, uintptr_t address) {
    struct report_facts facts = {.segment_start = round_down(address, SEGMENT_SIZE),
                                 .segment_owner = "this thread"};
    page_describe(page, size_class_page_kind(page->size_class), address, &facts);
    return facts;
}

MOAT_NORETURN MOAT_COLD static void report_bad_link(const struct page *page, uintptr_t address) {
    struct report_facts facts = facts_of_own(page, address);
    facts.block_state = "free, its link overwritten";
    report_fatal(PHRASE_DAMAGED_LIST, address, &facts);
}

/* The list named a block that is not free. A claim on a block without a live bit: a remote free
   raced a local one, and is the second free of the block. Else a link was made to name a block in
   use, freed by another thread or not. */
void page_report_bad_block(const struct page *page, uintptr_t address) {
    struct report_facts facts = facts_of_own(page, address);
    const struct map_word *word = map_word_of(address);
    if ((atomic_load_relaxed(&word->live) & map_bit_of(address)) == 0) {
        facts.block_state = "free, and freed again by another thread";
        report_fatal(PHRASE_SECOND_FREE, address, &facts);
    }
    facts.block_state = "in use, and on a free list";
    report_fatal(PHRASE_DAMAGED_LIST, address, &facts);
}

void *page_pop(struct page *page) {
    void *block = page_try_pop(page);
    if (MOAT_LIKELY(block != NULL)) return block;
    uintptr_t address = page->free;
    /* The map first: what a block in use holds is its user's, and looks like an overwritten
       link. */
    if (HARDENED_MAP && !map_is_free(map_word_of(address), map_bit_of(address)))
        page_report_bad_block(page, address);
    report_bad_link(page, address);
}

void page_init(struct page *page, uintptr_t start, size_t bytes, uint32_t size_class,
               bool never_used, struct random *random) {
    size_t block_size = size_class_bytes(size_class);
    page->secret = random_next(random); /* first: in a harness another thread may run meanwhile */
    page->free = page->local_free = start;
    page->free_count = 0;
    page->returns = (struct returns){RETURNS_NEVER, RETURNS_NEVER};
    page->reciprocal = block_reciprocal(block_size);
    page->start = start;
    page->limit = 0;
    page->block_size = (uint32_t)block_size;
    page->carved = 0;
    page->capacity = (uint16_t)(bytes / block_size);
    page->size_class = (uint8_t)size_class;
    page->in_full = false;
    page->inherited = false;
    page->never_reused = never_used;
    atomic_store_relaxed(&page->pending, 0);
    if (ro_is_strict()) strict_page_open(page);
}

/* Reports the first claim in the page, if there is one. */
MOAT_COLD static void report_any_claim(const struct page *page) {
    const struct map_word *word = map_word_of(page->start);
    for (size_t i = 0; i * MAP_WORD_SPAN < page->limit; i++) {
        uint64_t claim = atomic_load_relaxed(&word[i].claim);
        if (claim != 0)
            page_report_bad_block(page, page->start + i * MAP_WORD_SPAN + low_bit(claim) * GRANULE);
    }
}

void page_retire(struct page *page) {
    if (HARDENED_MAP) {
        /* All words: a remote free that was late by a life of the page may have claimed what is no
           block's start any more. Two at a time: there may be 4096. */
        const struct map_word *word = map_word_of(page->start);
        const struct map_word *end = word + (page->limit + MAP_WORD_SPAN - 1) / MAP_WORD_SPAN;
        uint64_t live = 0, claims = 0;
        for (const struct map_word *last = end - 1; word < last; word += 2) {
            live |= atomic_load_relaxed(&word[0].live) | atomic_load_relaxed(&word[1].live);
            claims |= atomic_load_relaxed(&word[0].claim) | atomic_load_relaxed(&word[1].claim);
        }
        if (word < end) {
            live |= atomic_load_relaxed(&word->live);
            claims |= atomic_load_relaxed(&word->claim);
        }
        if (MOAT_UNLIKELY((live | claims) != 0)) {
            /* at the strict level such a free takes its claim back, and reports itself */
            report_any_claim(page);
            MOAT_CHECK(live == 0, "page given back with a live block", page->start);
        }
    }
    page_give_to(page, 0);
    if (page->limit > page->touched) page->touched = (uint32_t)page->limit;
    /* block_size stays for reports on stale pointers, the class for the next page; nothing is on a
       list and nothing can be carved. */
    page->free_count = 0;
    returns_take(&page->returns);
    page->capacity = page->carved;
    page->in_full = false;
}

/* A list under construction: each block is linked to the one that comes after it. */
struct chain {
    uintptr_t head, tail;
    uint32_t length;
};

static void chain_link(const struct page *page, uintptr_t from, uintptr_t to) {
    freelist_store(from, freelist_encode(to, page->secret, from));
}

static void chain_append(const struct page *page, struct chain *chain, uintptr_t block) {
    if (chain->length++ == 0)
        chain->head = block;
    else
        chain_link(page, chain->tail, block);
    chain->tail = block;
}

/* The last link names some block of the page: its own. */
static void chain_end(const struct page *page, const struct chain *chain) {
    chain_link(page, chain->tail, chain->tail);
}

static uint32_t blocks_to_carve(const struct page *page) {
    if (page->block_size > CARVE_ONE_ABOVE) return 1;
    bool hot = (size_t)page->carved * page->block_size >= CARVE_STEP_HOT;
    uint32_t count = (uint32_t)((hot ? CARVE_STEP_HOT : CARVE_STEP) / page->block_size);
    uint32_t fresh = (uint32_t)(page->capacity - page->carved);
    if (count < CARVE_BLOCKS_MIN) count = CARVE_BLOCKS_MIN;
    return count < fresh ? count : fresh;
}

/*
 * Order: upwards, and one block in four is held back to the end of the step; the first step of a
 * page begins at a random block and goes around. Going around in every step would teach an attacker
 * no less, and cost a walk over the blocks in the order of their allocation four times as much:
 * hardware prefetches only what goes on upwards (SECURITY.md, layout; doc/benchmarks.md, locality).
 * Returns the first block of the list.
 */
static uintptr_t link_some(const struct page *page, uintptr_t from, uint32_t count,
                           struct random *random) {
    const uintptr_t size = page->block_size, end = from + count * size;
    uint32_t start = HARDENED_ORDER && page->carved == 0 ? random_below(random, count) : 0;
    uint64_t held = 0;
    struct chain upwards = {0, 0, 0}, last = {0, 0, 0};
    uintptr_t block = from + start * size;
    for (uint32_t i = 0; i < count; i++, held >>= 1) {
        if (HARDENED_ORDER && i % 64 == 0) held = random_next(random) & random_next(random);
        chain_append(page, held & 1 ? &last : &upwards, block);
        block += size;
        if (block == end) block = from;
    }
    if (last.length == 0) last.tail = upwards.tail;
    if (last.length != 0 && upwards.length != 0) chain_link(page, upwards.tail, last.head);
    chain_end(page, &last);
    return upwards.length != 0 ? upwards.head : last.head;
}

void page_carve(struct page *page, struct random *random) {
    uint32_t count = blocks_to_carve(page);
    uintptr_t from = page->start + page->carved * page->block_size;
    MOAT_ASSERT(count > 0 && page->free_count == 0);
    if (count == 1) {
        chain_link(page, from, from);
        page->free = from;
    } else {
        page->free = link_some(page, from, count, random);
    }
    page->free_count = count;
    page->carved = (uint16_t)(page->carved + count);
    page->limit = (uint64_t)page->carved * page->block_size;
}

/* Takes in one map word's claims. Live bits go first: a claim that is seen clear again must find a
   block that is seen free. */
static void collect_word(struct page *page, struct map_word *word, uintptr_t first) {
    uint64_t claim = atomic_load_seq_cst(&word->claim); /* pairs with the fetch_or of remote_free */
    if (claim == 0) return;
    uint64_t twice = claim & ~atomic_load_relaxed(&word->live);
    if (MOAT_UNLIKELY(HARDENED_MAP && twice != 0))
        page_report_bad_block(page, first + low_bit(twice) * GRANULE);
    map_clear_live(word, claim);
    /* Nobody follows the last link, but malloc asks memory for what it names: near by, then. */
    uintptr_t head = page_returned(page) != 0 ? page->local_free : first + low_bit(claim) * GRANULE;
    const uint64_t secret = page->secret, limit = page->limit, reciprocal = page->reciprocal;
    const uintptr_t start = page->start;
    const int32_t used = page_used(page);
    int32_t taken = 0;
    for (uint64_t rest = claim; rest != 0; rest &= rest - 1, taken++) {
        uintptr_t address = first + low_bit(rest) * GRANULE;
        size_t offset = address - start;
        MOAT_CHECK(offset < limit && offset_on_boundary(offset, reciprocal) && taken < used,
                   "a claim names no block in use", address);
        freelist_store(address, freelist_encode(head, secret, address));
        head = address;
    }
    page->local_free = head;
    returns_add_some(&page->returns, taken); /* whoever collects looks at the count */
    /* pairs with the fetch_or of the next remote_free of these blocks */
    atomic_and_release(&word->claim, ~claim);
}

/* The first map word of the first group with claims; NULL: the page has none. Not a place where
   threads are switched: nothing is done by what is read. */
static const struct map_word *first_claimed(const struct page *page) {
    uint64_t groups = atomic_load_unseen(&page->pending) & ~PENDING_FULL;
    if (!page->in_full || groups == 0) return NULL;
    unsigned shift = page_kind_shift(size_class_page_kind(page->size_class));
    return map_word_of(page->start) + ((size_t)low_bit(groups) << shift);
}

void page_expect_words(const struct page *page) {
    const struct map_word *word = first_claimed(page);
    if (word != NULL) __builtin_prefetch(word, 1);
}

void page_expect_blocks(const struct page *page) {
    const struct map_word *word = first_claimed(page);
    if (word == NULL) return;
    uint64_t claims = atomic_load_unseen(&word->claim);
    uintptr_t first = page->start + (uintptr_t)(word - map_word_of(page->start)) * MAP_WORD_SPAN;
    if (claims != 0) __builtin_prefetch((const void *)(first + low_bit(claims) * GRANULE), 1);
}

void page_take_claims(struct page *page, enum page_kind kind) {
    if (ro_is_strict()) {
        strict_page_collect(page, kind);
        return;
    }
    /* pairs with the fetch_or of remote_free */
    uint64_t groups = atomic_exchange_seq_cst(&page->pending, 0) & ~PENDING_FULL;
    struct map_word *words = map_word_of(page->start);
    unsigned shift = page_kind_shift(kind);
    for (; groups != 0; groups &= groups - 1) {
        unsigned group = low_bit(groups);
        unsigned from = group << shift, to = (group == 62 ? 64 : group + 1) << shift;
        for (unsigned i = from; i < to; i++)
            collect_word(page, &words[i], page->start + i * MAP_WORD_SPAN);
    }
}

void page_take_returned(struct page *page) {
    page_refill_list(page);
    if (page->returns.event_above != RETURNS_NEVER)
        page_watch(page); /* what was watched for moved too */
}

void page_settle(struct page *page, enum page_kind kind) {
    if (atomic_load_relaxed(&page->pending) != 0) page_take_claims(page, kind);
    if (page->free_count == 0 && page_returned(page) != 0) page_take_returned(page);
}

/* A claim that this load does not see yet finds the mark, and wakes the owner after the last poll
   that came before the load. */
bool page_mark_full(struct page *page) {
    uint64_t none = 0;
    if (atomic_load_relaxed(&page->pending) == PENDING_FULL) return true;
    /* pairs with the fetch_or of remote_free */
    return !FAILPOINT(FULL_MARK_AGAIN) && atomic_cas_release(&page->pending, &none, PENDING_FULL);
}

/* Takes the claims of a page in that nobody else frees into but remotely. Returns the end of
   what is in use, counted from the start, and how many blocks that is. */
static size_t settle_maps(uintptr_t start, size_t count, uint32_t *used) {
    struct map_word *words = map_word_of(start);
    size_t end = 0;
    *used = 0;
    for (size_t i = 0; i < count; i++) {
        /* pairs with the fetch_or of remote_free */
        uint64_t claim = atomic_load_seq_cst(&words[i].claim);
        if (ro_is_strict()) claim = strict_page_released(claim, start + i * MAP_WORD_SPAN);
        if (claim != 0) {
            map_clear_live(&words[i], claim);
            /* pairs likewise */
            atomic_and_release(&words[i].claim, ~claim);
        }
        uint64_t live = atomic_load_relaxed(&words[i].live);
        if (live == 0) continue;
        *used += popcount64(live);
        end = i * MAP_WORD_SPAN + (high_bit(live) + 1) * GRANULE;
    }
    return end;
}

/* At the strict level each free is a claim. A page of that level that is not the first of its queue
   has them for long. */
MOAT_COLD uint32_t page_unclaimed(const struct page *page) {
    uint32_t used = (uint32_t)page_used(page);
    if (!HARDENED_MAP || (!ro_is_strict() && !page_has_claims(page))) return used;
    const struct map_word *words = map_word_of(page->start);
    for (uint64_t at = 0; at < page->limit; at += MAP_WORD_SPAN, words++)
        used -= popcount64(atomic_load_relaxed(&words->live) & atomic_load_relaxed(&words->claim));
    return used;
}

/* A page of which no larger share is free costs little when it is left alone. */
#define FREE_SHARE 4u

MOAT_COLD void page_inherit(struct page *page, uint32_t used) {
    uint32_t free = page->carved - used;
    bool is_cheap = used == 0 /* it ends */ || free <= page->carved / FREE_SHARE;
    page->left = (uint16_t)used;
    page->inherited = is_cheap || usage_may_leave_alone((size_t)free * page->block_size);
}

MOAT_COLD uint32_t page_rebuild(struct page *page, uintptr_t start, size_t bytes,
                                struct random *random) {
    uint32_t used;
    /* pairs with the fetch_or of remote_free; first, as in collect: a claim that comes later marks
       anew */
    if (atomic_load_relaxed(&page->pending) != 0) (void)atomic_exchange_seq_cst(&page->pending, 0);
    size_t end = settle_maps(start, bytes / MAP_WORD_SPAN, &used);
    page->in_full = false;
    if (used == 0) {
        page->touched = (uint32_t)bytes; /* whatever the record says */
        page->free_count = 0;
        returns_take(&page->returns);
        page->capacity = page->carved;
        return 0;
    }
    MOAT_CHECK(page->start == start && page->block_size != 0, "rebuild: blocks in no page", start);
    /* caught while it was carved: what is in use was carved */
    uint32_t carved = (uint32_t)((end + page->block_size - 1) / page->block_size);
    if (page->carved < carved) page->carved = (uint16_t)carved;
    page->limit = (uint64_t)page->carved * page->block_size;
    page->secret = random_next(random);
    page->never_reused = false;
    page_inherit(page, used);
    if (ro_is_strict()) {
        returns_take(&page->returns);
        strict_page_open(page);
        page->free_count -= used;
        return used;
    }
    struct chain list = {0, 0, 0};
    for (uint32_t offset = 0; offset < page->limit; offset += page->block_size) {
        uintptr_t address = start + offset;
        if (!(map_word_of(address)->live & map_bit_of(address))) chain_append(page, &list, address);
    }
    if (list.length != 0) chain_end(page, &list);
    page->free = page->local_free = list.length != 0 ? list.head : start;
    page->free_count = list.length;
    returns_take(&page->returns);
    return used;
}

/* Whether a list of `length` blocks leads from free block to free block, to none of them twice:
   `met` has a bit for each. */
static bool list_is_right(const struct page *page, uintptr_t address, uint32_t length,
                          uint64_t *met) {
    for (; length > 0; length--) {
        uint64_t offset = address - page->start;
        if (offset >= page->limit || offset % page->block_size != 0) return false;
        if (HARDENED_MAP && !map_is_free(map_word_of(address), map_bit_of(address))) return false;
        uint64_t block = offset / page->block_size;
        if (cpu_test_and_set(&met[block / 64], block)) return false;
        address = freelist_next(page->secret, address);
    }
    return address - page->start < page->limit && (address - page->start) % page->block_size == 0;
}

MOAT_COLD bool page_validate(const struct page *page, size_t bytes) {
    if (ro_is_strict()) return strict_page_validate(page, bytes);
    uint64_t met[(UINT16_MAX + 1) / 64];
    __builtin_memset(met, 0, page->capacity / 64 * sizeof met[0] + sizeof met[0]);
    if (page->carved > page->capacity || page->limit != (uint64_t)page->carved * page->block_size ||
        page->limit > bytes)
        return false;
    if (page_used(page) < 0) return false;
    if (page->carved == 0) return page->free_count == 0 && page_returned(page) == 0;
    if (!list_is_right(page, page->free, page->free_count, met) ||
        !list_is_right(page, page->local_free, page_returned(page), met))
        return false;
    if (!HARDENED_MAP) return true;
    int32_t live = 0;
    const struct map_word *words = map_word_of(page->start);
    for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++)
        live += (int32_t)popcount64(atomic_load_relaxed(&words[i].live));
    return live == page_used(page);
}
