/*
 * test_check: moat_check() (src/alloc/check.c) says nothing of a sound allocator in any state, and
 * finds each kind of damage.
 */
#include "core.h"

static struct core_thread owner, other;
static void *keep[64];

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

START_TEST(before_the_first_allocation_there_is_nothing_to_check) {
    core_start(NULL);
    ck_assert_uint_eq(check_all(), 0);
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
}
END_TEST

START_TEST(the_pages_looked_at_are_counted) {
    core_be(&owner);
    size_t none = check_all();
    ck_assert_uint_eq(none, 0);
    core_alloc(&owner, 100);
    core_alloc(&owner, 1000);
    core_alloc(&owner, 30 * KIB);
    ck_assert_uint_eq(check_all(), 3);
    core_end(&owner);
    core_be(&other);
    ck_assert_uint_eq(check_all(), 3); /* abandoned pages too */
    struct stats stats;
    stats_collect(&stats);
    ck_assert_uint_eq(stats.abandoned, 2); /* left as they were */
    core_be(&owner);                       /* has no heap any more: the late heap is checked */
    ck_assert_uint_eq(check_all(), 3);
    ck_assert_uint_eq(ro.locks[LOCK_LATE_HEAP].word, 0);
}
END_TEST

/* Something of everything: pages in queues and set aside, with claims waiting, abandoned segments,
   huge and zero-size blocks. */
static void build_everything(void) {
    static void *page[64];
    core_be(&other);
    for (unsigned i = 0; i < 8; i++) keep[i] = core_alloc(&other, 200 + 3000 * i);
    core_end(&other);
    other = CORE_THREAD;
    core_begin(&other);
    core_fill_page(&owner, 8 * KIB, page, 64);
    keep[8] = core_alloc(&owner, 8 * KIB);
    keep[9] = page[0];
    keep[10] = core_alloc(&owner, 100);
    keep[11] = core_alloc(&owner, 100);
    core_alloc(&owner, 0);
    core_alloc(&owner, 3 * MIB);
    core_give(&owner, core_alloc(&owner, 100));
    core_give(&other, keep[11]); /* a claim in a page that is in its queue */
    core_be(&owner);
}

START_TEST(a_sound_allocator_passes_in_any_state) {
    build_everything();
    ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
    core_give(&other, keep[9]); /* into the full page */
    core_be(&owner);
    ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
    core_be(&other);
    ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
}
END_TEST

/* A signal handler that comes while its thread holds a lock must be told so, or it waits for itself
   for ever. */
static size_t looks_at_locks;
static void require_busy_under_locks(const volatile void *word) {
    for (unsigned i = 0; i < LOCKS; i++) {
        const struct lock *lock = &ro.locks[i];
        if (lock->word == 0 || word == &lock->word) continue;
        looks_at_locks++;
        ck_assert_msg(owner.word == THREAD_BUSY, "lock %u is held, and the thread's word is %#lx",
                      i, (unsigned long)owner.word);
    }
}

/* In a build with assertions: taken[0], then taken[1]. */
static void take_two(void *argument) {
    const enum lock_rank *taken = argument;
    locks_acquire(taken[0]);
    locks_acquire(taken[1]);
}

START_TEST(locks_are_taken_in_the_order_of_their_table_alone) {
    for (unsigned first = 0; first < LOCKS; first++)
        for (unsigned second = 0; second < LOCKS; second++) {
            enum lock_rank taken[] = {(enum lock_rank)first, (enum lock_rank)second};
            enum report_kind expected = second > first ? REPORT_KINDS : REPORT_CORRUPT_METADATA;
            core_start_ready("");
            ck_assert_int_eq(core_report_of(take_two, taken), expected);
            for (enum lock_rank rank = 0; rank < LOCKS; rank++) locks_reset(rank);
        }
}
END_TEST

START_TEST(a_thread_that_holds_a_lock_is_busy) {
    build_everything();
    harness_set_atomic_hook(require_busy_under_locks);
    check_all();
    size_t in_check = looks_at_locks;
    alloc_free(alloc_block(0));
    alloc_free(alloc_resize(alloc_block(3 * MIB), 30 * MIB));
    alloc_free(alloc_block(MIB));
    alloc_trim();
    core_end(&owner);
    alloc_free(alloc_block(100)); /* the late heap */
    harness_set_atomic_hook(NULL);
    ck_assert_uint_gt(in_check, 0);
    ck_assert_uint_gt(looks_at_locks, in_check + 20);
}
END_TEST

/* --- Damage, each undone by building anew ---------------------------------------------------- */

static void damage_link(void) {
    struct page *page = core_page(keep[10]);
    *(uint64_t *)(page->free) ^= 2;
}
static void damage_used(void) { core_page(keep[10])->free_count--; }
static void damage_live_bit(void) {
    map_word_of((uintptr_t)keep[10])->live ^= map_bit_of((uintptr_t)keep[10]);
}
static void damage_class(void) {
    core_page(keep[10])->size_class = (uint8_t)size_class_of(100 * KIB);
}
static void damage_free_pages(void) { core_segment(keep[10])->free_pages ^= 1; }
static void damage_pages_used(void) { core_segment(keep[10])->pages_used--; }
static void damage_direct(void) { core_heap(&owner)->direct[7] = core_page(keep[8]); }
static void damage_queue(void) { core_page(keep[10])->in_queue.prev = 0; }
static void damage_owner(void) { core_segment(keep[10])->owner += HEAP_SIZE; }
static void damage_segment_count(void) { core_heap(&owner)->segments++; }
static void damage_list(void) {
    struct heap *heap = core_heap(&owner);
    unsigned list = segment_index(core_segment(keep[10])) % 64;
    heap->lists[(list + 1) % 64] = heap->lists[list];
    heap->lists[list] = (struct list){0};
}
static void damage_full_without_mark(void) { core_page(keep[9])->pending = 0; }
static void damage_full_without_wake(void) { core_page(keep[9])->pending = PENDING_FULL | 1; }
static void damage_abandoned_page(void) { core_page(keep[7])->free_count++; }
static void damage_abandoned_segment(void) { core_segment(keep[7])->pages_used++; }
static void damage_abandoned_link(void) {
    struct page *page = core_page(keep[3]);
    *(uint64_t *)(page->free) = 0x4141414141414141;
}
static void damage_region(void) { ro.region->span = ro.region->extent - 1; }
static void damage_bitmap(void) { ro.region->taken[0] ^= 2; }

START_TEST(each_kind_of_damage_is_found) {
    static void (*const damages[])(void) = {
        damage_link,           damage_used,
        damage_live_bit,       damage_class,
        damage_free_pages,     damage_pages_used,
        damage_direct,         damage_queue,
        damage_owner,          damage_segment_count,
        damage_list,           damage_full_without_mark,
        damage_abandoned_page, damage_abandoned_segment,
        damage_abandoned_link, damage_region,
        damage_bitmap,         damage_full_without_wake,
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        setup();
        build_everything();
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        damages[i]();
        enum report_kind kind = core_report_of(core_check, NULL);
        ck_assert_msg(kind == REPORT_CORRUPT_METADATA, "damage %zu: %s", i, core_kind_name(kind));
    }
}
END_TEST

START_TEST(an_abandoned_segment_that_cannot_be_found_is_damage) {
    build_everything();
    uint32_t index = 0;
    ck_assert(abandoned_find(PAGE_MEDIUM, 0, &index)); /* and never put back */
    core_be(&owner);
    ck_assert_str_eq(core_kind_name(core_report_of(core_check, NULL)),
                     core_kind_name(REPORT_CORRUPT_METADATA));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("check");
    TCase *group = tcase_create("check");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, before_the_first_allocation_there_is_nothing_to_check);
    tcase_add_test(group, the_pages_looked_at_are_counted);
    tcase_add_test(group, a_sound_allocator_passes_in_any_state);
    tcase_add_test(group, a_thread_that_holds_a_lock_is_busy);
    tcase_add_test(group, locks_are_taken_in_the_order_of_their_table_alone);
    tcase_add_test(group, each_kind_of_damage_is_found);
    tcase_add_test(group, an_abandoned_segment_that_cannot_be_found_is_damage);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
