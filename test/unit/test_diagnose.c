/*
 * test_diagnose: what an address is that was wrongly taken for a block (src/alloc/diagnose.h): each
 * phrase of the first line, for each verb, in each place an address can lie. The phrases are an
 * interface; the process that prints one is a forked child.
 */
#define _GNU_SOURCE
#include "core.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

/* The report of a call that must end a child of this process by SIGABRT. */
static const char *last_words(void (*call)(void *), void *argument) {
    static char text[8192];
    int ends[2], status = 0;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], 2);
        signal(SIGABRT, SIG_DFL);
        /* where no segment can be had a child uses its parent's pages */
        if (heap_of_thread() != NULL) heap_want_pages(heap_of_thread());
        call(argument);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "ended with status %x: %s",
                  (unsigned)status, text);
    return text;
}

static void expect_line(void (*call)(void *), void *block, const char *kind, const char *what) {
    char line[256];
    const char *text = last_words(call, block);
    snprintf(line, sizeof line, "moat: fatal: %s: %s at 0x%lx\n", kind, what,
             (unsigned long)(uintptr_t)block);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "expected: %sgot: %.200s", line, text);
}

static void query(void *block) { alloc_usable_size(block); }
static void resize(void *block) { alloc_resize(block, 77); }
static void free_as_100(void *block) { alloc_free_sized(block, 100); }
static void free_as_aligned_64(void *block) {
    alloc_free_aligned_sized(block, 64, 100, FAMILY_MALLOC);
}

/* The three families of phrases, and sized free, which speaks as free does. */
enum place { FREED, INSIDE, NO_BLOCK, OUTSIDE };
static void expect_all(void *block, enum place place) {
    static const char *const frees[] = {
        "second free of a block", "free of an address inside a block",
        "free of an address that is no block", "free of an address outside the heap"};
    static const char *const rest[] = {"of a freed block", "of an address inside a block",
                                       "of an address that is no block",
                                       "of an address outside the heap"};
    char phrase[100];
    const char *kind = place == FREED ? "double-free" : "invalid-free";
    expect_line(core_free, block, kind, frees[place]);
    expect_line(free_as_100, block, kind, frees[place]);
    snprintf(phrase, sizeof phrase, "realloc %s", rest[place]);
    expect_line(resize, block, kind, phrase);
    snprintf(phrase, sizeof phrase, "usable size %s", rest[place]);
    expect_line(query, block, kind, phrase);
}

START_TEST(a_freed_block) {
    static const size_t sizes[] = {16, 100, 5000, 40 * KIB, 600 * KIB, 3 * MIB, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *keep = core_alloc(&owner, sizes[i]), *block = core_alloc(&owner, sizes[i]);
        core_give(&owner, block);
        expect_all(block, FREED);
        core_give(&owner, keep);
    }
}
END_TEST

START_TEST(a_block_freed_by_another_thread_and_not_collected) {
    static const size_t sizes[] = {16, 5000, 40 * KIB, 600 * KIB};
    core_begin(&other);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = core_alloc(&owner, sizes[i]);
        core_give(&other, block);
        core_be(&owner);
        expect_all(block, FREED);
        core_be(&other);
        expect_all(block, FREED);
    }
}
END_TEST

START_TEST(an_address_inside_a_block) {
    static const size_t sizes[] = {100, 5000, 40 * KIB, 600 * KIB, 9 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = core_alloc(&owner, sizes[i]);
        expect_all(block + 16, INSIDE);
        expect_all(block + 8, INSIDE);
        expect_all(block + 1, INSIDE);
        expect_all(block + sizes[i] - 1, INSIDE);
    }
}
END_TEST

START_TEST(an_address_inside_a_freed_block) {
    char *keep = core_alloc(&owner, 5000), *block = core_alloc(&owner, 5000);
    core_give(&owner, block);
    expect_all(block + 32, INSIDE);
    core_give(&owner, keep);
}
END_TEST

/* A longer huge block over the place where a shorter one began before: what is there now counts. */
START_TEST(an_address_inside_a_huge_block_over_the_remains_of_others) {
    core_start_ready("region=64M");
    char *blocks[4];
    for (unsigned i = 0; i < 4; i++) blocks[i] = core_alloc(&owner, 3 * MIB);
    for (unsigned i = 0; i < 4; i++) core_give(&owner, blocks[i]);
    alloc_collect(true);
    char *block = core_alloc(&owner, 14 * MIB);
    ck_assert_ptr_eq(block, blocks[0]);
    expect_all(block + 9 * MIB, INSIDE);
    expect_all(block + 7 * MIB + 512 * KIB, INSIDE); /* behind the end of what was there before */
}
END_TEST

START_TEST(an_address_that_is_no_block) {
    char *block = core_alloc(&owner, 100);
    struct page *page = core_page(block);
    expect_all((char *)page->start + page->limit, NO_BLOCK); /* not carved yet */
    /* the guard */
    expect_all((char *)segment_start(core_segment(block)) + SEGMENT_SIZE - 16, NO_BLOCK);
    expect_all((char *)ro.region_base, NO_BLOCK); /* never used */
    expect_all((char *)segment_address(ro.region->extent) - 16, NO_BLOCK);
    char *huge = core_alloc(&owner, 5 * MIB);
    expect_all(huge + 7 * MIB, NO_BLOCK); /* of the run, behind the block */
    char *zero = core_alloc(&owner, 0);
    expect_all(zero + 8, NO_BLOCK);
}
END_TEST

START_TEST(an_address_before_a_strict_block_in_its_run) {
    core_start_ready("level=strict:region=1G");
    owner = CORE_THREAD;
    char *block = core_alloc(&owner, 20001);
    ck_assert_uint_gt((uintptr_t)block, segment_start(core_segment(block)) + GRANULE);
    expect_all(block - GRANULE, NO_BLOCK);
    expect_all((char *)segment_start(core_segment(block)), NO_BLOCK);
    expect_all(block + GRANULE, INSIDE);
}
END_TEST

START_TEST(an_address_outside_the_heap) {
    static char mine[64];
    char stack[64];
    expect_all(mine, OUTSIDE);
    expect_all(stack + 16, OUTSIDE);
    expect_all((void *)16, OUTSIDE);
    expect_all((void *)~(uintptr_t)15, OUTSIDE);
    expect_all((char *)ro.region_base - 16, OUTSIDE);
    expect_all((char *)segment_address(ro.region->extent), OUTSIDE);
    expect_all((void *)ro.segments, OUTSIDE);
    core_start("region=1G"); /* nothing initialised: everything is outside */
    expect_all(mine, OUTSIDE);
}
END_TEST

START_TEST(a_wrong_size) {
    expect_line(free_as_100, core_alloc(&owner, 200), "size-mismatch",
                "sized free with the wrong size");
    expect_line(free_as_100, core_alloc(&owner, 3 * MIB), "size-mismatch",
                "sized free with the wrong size");
    expect_line(free_as_100, core_alloc(&owner, 0), "size-mismatch",
                "sized free with the wrong size");
    alloc_free_sized(core_alloc(&owner, 97), 100); /* the same class */
}
END_TEST

START_TEST(a_wrong_alignment) {
    char *block = core_alloc(&owner, 112);
    while ((uintptr_t)block % 64 == 0) block = core_alloc(&owner, 112);
    expect_line(free_as_aligned_64, block, "alignment-mismatch",
                "aligned free with the wrong alignment");
    core_be(&owner);
    alloc_free_aligned_sized(alloc_aligned(64, 100), 64, 100, FAMILY_MALLOC);
}
END_TEST

START_TEST(a_damaged_list) {
    void *one = core_alloc(&owner, 64);
    struct page *page = core_page(one);
    uint64_t *next = (uint64_t *)(page->free);
    size_t size = 64;
    char line[200];
    *next ^= 1;
    const char *text = last_words(core_take, &size);
    snprintf(line, sizeof line, "moat: fatal: corrupt-link: free list is damaged at 0x%lx\n",
             (unsigned long)(uintptr_t)next);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "%.200s", text);
}
END_TEST

/* The list was made to name a block in use, whose contents are no link: that is not the block which
   was written to. */
START_TEST(a_list_that_leads_to_a_block_in_use) {
    char *victim = core_alloc(&owner, 64);
    memset(victim, 'A', 64);
    struct page *page = core_page(victim);
    uintptr_t head = page->free;
    freelist_store(head, freelist_encode((uintptr_t)victim, page->secret, head));
    core_alloc(&owner, 64);
    size_t size = 64;
    char line[200];
    const char *text = last_words(core_take, &size);
    snprintf(line, sizeof line, "moat: fatal: corrupt-link: free list is damaged at 0x%lx\n",
             (unsigned long)(uintptr_t)victim);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "%.200s", text);
    ck_assert_msg(strstr(text, "state: in use, and on a free list\n") != NULL, "%.400s", text);
}
END_TEST

static void interrupt_and_take(void *heap) {
    heap_enter(heap);
    alloc_block(3000);
}

START_TEST(a_call_from_a_signal_handler) {
    static const char line[] = "moat: fatal: reentrant-call: allocator called from a signal "
                               "handler that interrupted it at 0x";
    const char *text = last_words(interrupt_and_take, core_begin(&owner));
    ck_assert_msg(strncmp(text, line, sizeof line - 1) == 0, "%.200s", text);
}
END_TEST

/* --- The lines after the first: each scene is built in the child, so that a fork changes nothing
   about who owns what --------- */

/* A block of 100 bytes, its address printed before the report, and a free inside it by that
   thread. */
static void free_inside(struct core_thread *thread, bool owner_ends) {
    setup();
    char *block = core_alloc(&owner, 100);
    core_give(&owner, core_alloc(&owner, 100));
    core_begin(&other);
    if (owner_ends) core_end(&owner);
    core_be(thread);
    dprintf(2, "0x%lx %d\n", (unsigned long)(uintptr_t)block, block[0]);
    alloc_free(block + 16);
}
static void free_inside_own(void *unused) { (void)unused, free_inside(&owner, false); }
static void free_inside_others(void *unused) { (void)unused, free_inside(&other, false); }
static void free_inside_abandoned(void *unused) { (void)unused, free_inside(&other, true); }
static void free_with_wrong_size(void *unused) {
    (void)unused;
    setup();
    void *block = core_alloc(&owner, 300);
    dprintf(2, "0x%lx\n", (unsigned long)(uintptr_t)block);
    free_as_100(block);
}

/* Of the strict level. */
static void *strict_block_of(size_t size) {
    core_start_ready("level=strict:region=1G");
    owner = other = CORE_THREAD;
    void *block = alloc_mark_family(core_alloc(&owner, size), FAMILY_NEW_ARRAY);
    dprintf(2, "0x%lx\n", (unsigned long)(uintptr_t)block);
    return block;
}
static void free_inside_strict(void *unused) {
    (void)unused;
    alloc_free((char *)strict_block_of(41) + 16);
}
static void free_strict_twice(void *unused) {
    (void)unused;
    void *block = strict_block_of(41);
    alloc_delete_slow(block, FAMILY_NEW_ARRAY);
    alloc_delete_slow(block, FAMILY_NEW_ARRAY);
}
static void free_inside_strict_huge(void *unused) {
    (void)unused;
    alloc_free((char *)strict_block_of(3 * MIB + 5) + 64);
}

/* A free claims its block before it looks at family and size: it is in use all the same. */
static void free_strict_mismatched(size_t size, const char *options, bool sized) {
    core_start_ready(options);
    owner = other = CORE_THREAD;
    void *block = alloc_mark_family(core_alloc(&owner, size), FAMILY_NEW);
    dprintf(2, "0x%lx\n", (unsigned long)(uintptr_t)block);
    if (sized)
        alloc_free_aligned_sized(block, GRANULE, size + 1, FAMILY_NEW);
    else
        alloc_free(block);
}
#define STRICT "level=strict:region=1G"
static void size_of_small(void *unused) { (void)unused, free_strict_mismatched(41, STRICT, true); }
static void size_of_huge(void *unused) {
    (void)unused, free_strict_mismatched(3 * MIB + 5, STRICT, true);
}
static void size_of_sample(void *unused) {
    (void)unused, free_strict_mismatched(41, STRICT ":sample=1", true);
}
static void family_of_small(void *unused) {
    (void)unused, free_strict_mismatched(41, STRICT, false);
}
static void family_of_huge(void *unused) {
    (void)unused, free_strict_mismatched(3 * MIB + 5, STRICT, false);
}
static void family_of_sample(void *unused) {
    (void)unused, free_strict_mismatched(41, STRICT ":sample=1", false);
}

/* A block of 41 bytes with one before it in its page. */
static char *strict_block_with_neighbours(void) {
    core_start_ready(STRICT);
    owner = other = CORE_THREAD;
    char *block = core_alloc(&owner, 41);
    while ((uintptr_t)block == core_page(block)->start) block = core_alloc(&owner, 41);
    dprintf(2, "0x%lx\n", (unsigned long)(uintptr_t)block);
    return block;
}
static void overflow_strict(void *unused) {
    (void)unused;
    char *block = strict_block_with_neighbours();
    block[42] ^= 1;
    alloc_free(block);
}
static void overflow_strict_huge(void *unused) {
    (void)unused;
    char *block = strict_block_of(3 * MIB + 5);
    block[3 * MIB + 6] ^= 1;
    alloc_delete_slow(block, FAMILY_NEW_ARRAY);
}
static void write_after_free_strict(void *unused) {
    (void)unused;
    char *block = strict_block_with_neighbours();
    core_give(&owner, block);
    block[44] = 1;
    alloc_collect(true);
}

static void expect_facts(void (*scene)(void *), const char *const facts[]) {
    const char *text = last_words(scene, NULL), *rest = strchr(text, '\n');
    char block[40] = "";
    ck_assert_int_eq(sscanf(text, "%39s", block), 1);
    ck_assert_ptr_nonnull(rest);
    rest = strchr(rest + 1, '\n');
    ck_assert_msg(rest != NULL && strstr(rest, block) != NULL, "no %s in: %s", block, text);
    for (; *facts != NULL; facts++)
        ck_assert_msg(strstr(rest, *facts) != NULL, "no '%s' in: %s", *facts, text);
}

START_TEST(the_facts_of_a_report_are_those_of_the_block) {
    core_stop();
    expect_facts(free_inside_own,
                 (const char *const[]){"112", "in use", "small", "this thread", NULL});
    expect_facts(free_inside_others,
                 (const char *const[]){"112", "in use", "small", "another thread", NULL});
    expect_facts(free_inside_abandoned,
                 (const char *const[]){"112", "in use", "small", "no thread (abandoned)", NULL});
    expect_facts(free_inside_strict,
                 (const char *const[]){"of it 41 bytes were asked for by new[]\n", "of 48", NULL});
    expect_facts(free_strict_twice,
                 (const char *const[]){"of it 41 bytes were asked for by new[]\n",
                                       "state: freed, in quarantine", NULL});
    expect_facts(free_inside_strict_huge,
                 (const char *const[]){"of it 3145733 bytes were asked for by new[]\n", NULL});
    expect_facts(free_with_wrong_size, (const char *const[]){"100", "320", NULL});
}
END_TEST

START_TEST(a_strict_block_that_its_free_has_claimed_is_in_use) {
    core_stop();
    static const char small[] = "of it 41 bytes were asked for by new\n";
    static const char huge[] = "of it 3145733 bytes were asked for by new\n";
    static const char in_use[] = "state: in use\n", asked[] = "bytes were asked for by new\n";
    expect_facts(size_of_small, (const char *const[]){"of 48 bytes, ", in_use, small, NULL});
    expect_facts(size_of_huge, (const char *const[]){in_use, huge, NULL});
    expect_facts(size_of_sample, (const char *const[]){in_use, "(sample, ", asked, NULL});
    expect_facts(family_of_small, (const char *const[]){"of 48 bytes, ", in_use, small, NULL});
    expect_facts(family_of_huge, (const char *const[]){in_use, huge, NULL});
    expect_facts(family_of_sample, (const char *const[]){in_use, "(sample, ", asked, NULL});
}
END_TEST

/* In an overflow a neighbour is the suspect, or the victim. */
START_TEST(damage_is_shown_with_its_surroundings) {
    core_stop();
    static const char before[] = "before it: 0x", own[] = "owner: this thread\n";
    expect_facts(overflow_strict, (const char *const[]){"of 48 bytes, state: in use\n", before, own,
                                                        "of it 41 bytes were asked for by malloc\n",
                                                        ", 1 byte behind its end\n", NULL});
    expect_facts(write_after_free_strict,
                 (const char *const[]){"of 48 bytes, state: free, and written to since\n", before,
                                       own, ", 44 bytes into the block\n", NULL});
    expect_facts(overflow_strict_huge,
                 (const char *const[]){"state: in use\n", "(huge, ",
                                       "of it 3145733 bytes were asked for by new[]\n",
                                       ", 1 byte behind its end\n", NULL});
}
END_TEST

START_TEST(with_sized_report_the_program_goes_on) {
    core_start_ready("region=1G:sized=report");
    owner = CORE_THREAD;
    int ends[2];
    char text[512];
    ck_assert_int_eq(pipe(ends), 0);
    int saved = dup(2);
    dup2(ends[1], 2);
    void *block = core_alloc(&owner, 300);
    alloc_free_sized(block, 100);
    dup2(saved, 2);
    close(ends[1]);
    ssize_t got = read(ends[0], text, sizeof text - 1);
    ck_assert_int_gt(got, 0);
    text[got] = '\0';
    ck_assert_msg(
        strncmp(text, "moat: error: size-mismatch: sized free with the wrong size at 0x", 64) == 0,
        "%s", text);
    ck_assert(!core_is_live(block));
    core_start_ready("region=1G:sized=off");
    owner = CORE_THREAD;
    alloc_free_sized(core_alloc(&owner, 300), 100);
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("diagnose");
    TCase *group = tcase_create("diagnose");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_freed_block);
    tcase_add_test(group, a_block_freed_by_another_thread_and_not_collected);
    tcase_add_test(group, an_address_inside_a_block);
    tcase_add_test(group, an_address_inside_a_freed_block);
    tcase_add_test(group, an_address_inside_a_huge_block_over_the_remains_of_others);
    tcase_add_test(group, an_address_that_is_no_block);
    tcase_add_test(group, an_address_before_a_strict_block_in_its_run);
    tcase_add_test(group, an_address_outside_the_heap);
    tcase_add_test(group, a_wrong_size);
    tcase_add_test(group, a_wrong_alignment);
    tcase_add_test(group, a_damaged_list);
    tcase_add_test(group, a_list_that_leads_to_a_block_in_use);
    tcase_add_test(group, a_call_from_a_signal_handler);
    tcase_add_test(group, the_facts_of_a_report_are_those_of_the_block);
    tcase_add_test(group, a_strict_block_that_its_free_has_claimed_is_in_use);
    tcase_add_test(group, damage_is_shown_with_its_surroundings);
    tcase_add_test(group, with_sized_report_the_program_goes_on);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
