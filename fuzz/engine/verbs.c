/*
 * verbs: right uses of the allocator, and what must come of them. See the header.
 *
 * errno is set to a mark before each call: a success must leave it, a failure must set the
 * documented value. NULL is allowed only for impossible sizes, when a system call was made to fail
 * within the operation, and where address space may run out.
 */
#include "engine/verbs.h"

#include <errno.h>
#include <string.h>

enum { ERRNO_MARK = 4242, LIVE_BYTES_MAX = 160 * 1024 * 1024, OS_PAGE_LEAST = 4096 };

static bool fault_fired(const struct run *run) {
    return run->subject->failures() != run->failures_before;
}

static void expect_errno(struct run *run, int expected, const char *what) {
    if (errno != expected) run_fail(run, "%s left errno %d, expected %d", what, errno, expected);
}

/* A kind of system call fails from some time on, and a failpoint goes wrong beside it: what both
   have left, as mappings that could not be undone, may be all that is in the way. */
static bool is_hemmed_in(const struct run *run) {
    bool for_good = (run->input->flags & INPUT_SHORTAGE) != 0 && run->faults_armed % 2 != 0;
    return for_good && run->input->failpoint != 0;
}

/* A call gave NULL: was that allowed, and is errno right? */
static void judge_null(struct run *run, size_t size, size_t alignment, const char *what) {
    expect_errno(run, ENOMEM, what);
    run_empties_quarantine(run); /* to find memory */
    if (size >= SIZE_IMPOSSIBLE || alignment >= ALIGNMENT_MAY_FAIL || fault_fired(run) ||
        is_hemmed_in(run))
        return;
    run_fail(run, "%s of %zu bytes aligned to %zu gave NULL", what, size, alignment);
}

/* A block of the strict level is zero when it is new, and one with a run of its own has nothing
   accessible around it. */
static void judge_strict(struct run *run, uintptr_t start, size_t usable,
                         enum block_origin origin) {
    const struct subject *subject = run->subject;
    size_t wrong = 0;
    if (origin != ORIGIN_REALLOC && !shadow_is_zero(&run->shadow, start, usable, &wrong))
        run_fail(run, "byte %zu of a new block of %zu bytes is set", wrong, usable);
    if (!run_stands_alone(run, usable)) return;
    /* what lies before may be in the middle of a change where threads run at once */
    bool changes = run_handed_out_hook != NULL;
    if (subject->is_open(round_up(start + usable, OS_PAGE_LEAST)) ||
        (!changes && subject->is_open(round_down(start, OS_PAGE_LEAST) - 1)))
        run_fail(run, "there is no guard around a block of %zu bytes", usable);
}

/* Whether all the pages of a block that has them for itself lie between inaccessible ones. */
static bool stands_alone(const struct run *run, uintptr_t start, size_t usable) {
    return !run->subject->is_open(round_up(start + usable, OS_PAGE_LEAST)) &&
           !run->subject->is_open(round_down(start, OS_PAGE_LEAST) - 1);
}

/* One that might have a page has a run of its own instead. */
static bool has_run(const struct run *run, uintptr_t start, size_t usable) {
    const struct subject *subject = run->subject;
    return usable != 0 && usable <= LARGE_MAX && subject->has_run != NULL &&
           subject->has_run(start);
}

/* What a new block must not be: with a link in it, or, where it is huge, without a guard behind
   it. Guards may be left out where memory is refused. */
static void judge_new(struct run *run, uintptr_t start, size_t usable, size_t alignment,
                      enum block_origin origin) {
    const struct subject *subject = run->subject;
    bool has_page = usable != 0 && usable <= LARGE_MAX && alignment <= SMALL_MAX &&
                    !has_run(run, start, usable);
    if (subject->is_sample != NULL && subject->failures() == 0 && subject->is_sample(start) &&
        !stands_alone(run, start, usable))
        run_fail(run, "there is no guard around a sample of %zu bytes", usable);
    if (run->is_strict) {
        judge_strict(run, start, usable, origin);
        return;
    }
    uint64_t first = 0;
    if (subject->erases_links && has_page && origin != ORIGIN_REALLOC)
        memcpy(&first, (void *)start, usable < sizeof first ? usable : sizeof first);
    if (first != 0)
        run_fail(run, "a block of %zu bytes begins with %#lx", usable, (unsigned long)first);
    if (subject->is_open != NULL && usable > LARGE_MAX && subject->failures() == 0 &&
        subject->is_open(start + round_up(usable, OS_PAGE_LEAST)))
        run_fail(run, "there is no guard behind a block of %zu bytes", usable);
}

/* There was no memory for a block that may have a page. One thread's heap has all that lies unused,
   and has given it back before it gave up: nothing is left that a trim could give. */
static void judge_shortage(struct run *run, size_t size) {
    const struct subject *subject = run->subject;
    if (!run->is_limited || size - 1 >= LARGE_MAX) return;
    if (run->is_child && subject->spares != NULL && subject->spares(size))
        run_fail(run,
                 "there was no memory for %zu bytes while a page that is left alone has a block",
                 size);
    if (run->threads_most > 1) return;
    size_t committed = subject->committed();
    subject->trim();
    if (subject->committed() >= committed || subject->malloc(size) == NULL) return;
    run_fail(run, "there was no memory for %zu bytes while some lay unused", size);
}

/* Of a block that has a page for sure. */
static uint64_t secret_of(const struct run *run, uintptr_t start, size_t usable, size_t alignment) {
    bool has_page = usable != 0 && usable < GUARDED_AT_STRICT && alignment <= SMALL_MAX &&
                    !has_run(run, start, usable);
    return has_page && run->subject->secret != NULL ? run->subject->secret(start) : 0;
}

/* False: the run ends here, since who frees a block twice may have freed this one. */
static bool is_judgeable(struct run *run, uintptr_t start, size_t size) {
    if (run_handed_out_hook != NULL) run_handed_out_hook(start, size);
    return !run->over;
}

static size_t cell_of(const struct run *run, uintptr_t start, size_t requested, size_t usable,
                      size_t alignment) {
    if (has_run(run, start, usable)) return 0;
    return run->is_strict ? run->subject->cell(requested, alignment) : usable;
}

uint16_t verb_take(struct run *run, uintptr_t start, size_t requested, size_t alignment,
                   enum block_origin origin, bool zeroed) {
    if (!is_judgeable(run, start, requested)) return SHADOW_NONE;
    size_t usable = run->subject->usable_size((void *)start), wrong = 0;
    if (!is_judgeable(run, start, usable)) return SHADOW_NONE; /* other threads ran meanwhile */
    if (requested >= SIZE_IMPOSSIBLE)
        run_fail(run, "an impossible size of %zu bytes was allocated", requested);
    if (run->is_strict && usable != requested)
        run_fail(run, "usable size is %zu where %zu bytes were asked for", usable, requested);
    struct shadow_block facts = {.start = start,
                                 .requested = requested,
                                 .usable = usable,
                                 .cell = cell_of(run, start, requested, usable, alignment),
                                 .alignment = alignment,
                                 .secret = secret_of(run, start, usable, alignment),
                                 .owner = (uint8_t)run->thread,
                                 .origin = (uint8_t)origin};
    uint16_t index;
    const char *broken = shadow_birth(&run->shadow, facts, &index);
    if (broken)
        run_fail(run, "%s: %#lx, asked for %zu, usable %zu, alignment %zu", broken,
                 (unsigned long)start, requested, usable, alignment);
    judge_new(run, start, usable, alignment, origin);
    if (run->is_child && origin != ORIGIN_REALLOC && run->subject->is_left_alone != NULL &&
        run->subject->is_left_alone(start))
        run_fail(run, "a block of %zu bytes comes from a page that is left alone", usable);
    if (zeroed && !shadow_is_zero(&run->shadow, start, requested, &wrong))
        run_fail(run, "byte %zu of a zeroed block of %zu bytes is set", wrong, requested);
    shadow_fill(&run->shadow, index);
    if (run_block_hook != NULL) run_block_hook(index, true);
    bool goes_on = is_judgeable(run, start, usable);
    run_trace(run, run_offset(run, start));
    run_trace(run, usable);
    return goes_on ? index : SHADOW_NONE;
}

static void allocate_aligned(struct run *run, const struct input_op *op, size_t size) {
    size_t alignment = alignment_decode(op->other);
    errno = ERRNO_MARK;
    if (op->code == OP_ALIGNED) {
        void *block = run->subject->aligned_alloc(alignment, size);
        if (!block) {
            judge_null(run, size, alignment, "aligned_alloc");
            return;
        }
        expect_errno(run, ERRNO_MARK, "aligned_alloc");
        verb_take(run, (uintptr_t)block, size, alignment, ORIGIN_ALIGNED, false);
        return;
    }
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    void *mark = (void *)(uintptr_t)ERRNO_MARK, *block = mark;
    int result = run->subject->posix_memalign(&block, alignment, size);
    expect_errno(run, ERRNO_MARK, "posix_memalign");
    if (result == 0) {
        verb_take(run, (uintptr_t)block, size, alignment, ORIGIN_POSIX_MEMALIGN, false);
        return;
    }
    if (block != mark) run_fail(run, "posix_memalign failed and changed its result");
    errno = result;
    judge_null(run, size, alignment, "posix_memalign");
}

void verb_allocate(struct run *run, const struct input_op *op) {
    size_t size = size_decode(op->kind, op->value);
    if (!shadow_can_take(&run->shadow, 1)) return;
    if (size < SIZE_IMPOSSIBLE && run->shadow.live_bytes + size > LIVE_BYTES_MAX) return;
    if (op->code == OP_ALIGNED || op->code == OP_POSIX_MEMALIGN) {
        allocate_aligned(run, op, size);
        return;
    }
    bool zeroed = op->code == OP_CALLOC;
    bool by_new = run->is_strict && op->code == OP_MALLOC && op->other % 8 == 7;
    void *block;
    errno = ERRNO_MARK;
    if (by_new) {
        block = run->subject->new_block(size);
        if (!block) errno = ENOMEM; /* of new it is not expected */
    } else if (zeroed) {
        size_t count = 1 + op->other % 8, each = size / count;
        size = count * each;
        block =
            op->other & 8 ? run->subject->calloc(each, count) : run->subject->calloc(count, each);
    } else {
        block = run->subject->malloc(size);
    }
    if (!block) {
        judge_null(run, size, 1, zeroed ? "calloc" : "malloc");
        judge_shortage(run, size);
        return;
    }
    expect_errno(run, ERRNO_MARK, zeroed ? "calloc" : "malloc");
    verb_take(run, (uintptr_t)block, size, 1, by_new ? ORIGIN_NEW : ORIGIN_MALLOC, zeroed);
}

void verb_allocate_many(struct run *run, const struct input_op *op) {
    enum { BYTES_MAX = 2 * 1024 * 1024 };
    size_t size = size_decode(op->kind, op->value);
    unsigned count = 1u << (1 + op->other % 11);
    if (size && count > BYTES_MAX / size) count = (unsigned)(BYTES_MAX / size);
    struct input_op one = *op;
    one.code = OP_MALLOC;
    for (unsigned i = 0; i < count; i++) {
        if (!shadow_can_take(&run->shadow, 1)) return;
        verb_allocate(run, &one);
    }
}

/* The block moved, or stayed, and has a new size: what it held must still be there. */
uint16_t verb_take_resized(struct run *run, const struct shadow_block *old, uintptr_t start,
                           size_t size) {
    size_t wrong = 0, kept = old->usable < size ? old->usable : size;
    if (!shadow_compare(old, start, kept, &wrong))
        run_fail(run, "realloc from %zu to %zu bytes lost byte %zu", old->usable, size, wrong);
    /* Both were in use while the contents were copied. */
    if (start != old->start && start < old->start + old->usable && old->start < start + size)
        run_fail(run, "realloc gave a block that overlaps the one it was copied from");
    if (run->is_strict && size > kept &&
        !shadow_is_zero(&run->shadow, start + kept, size - kept, &wrong))
        run_fail(run, "realloc from %zu to %zu bytes left byte %zu set", old->usable, size,
                 kept + wrong);
    return verb_take(run, start, size, 1, ORIGIN_REALLOC, false);
}

static void *call_resize(struct run *run, const struct input_op *op, void *old, size_t size) {
    size_t count = 1 + op->other % 8;
    return op->code == OP_REALLOCARRAY ? run->subject->reallocarray(old, count, size / count)
                                       : run->subject->realloc(old, size);
}

/* A block is out of the model before the call: once it is freed others may have it, and the call
   may not have returned yet. */
void verb_resize(struct run *run, const struct input_op *op) {
    size_t size = size_decode(op->kind, op->value), count = 1 + op->other % 8;
    if (op->code == OP_REALLOCARRAY) size = size / count * count;
    if (!shadow_can_take(&run->shadow, 2)) return;
    if (size < SIZE_IMPOSSIBLE && run->shadow.live_bytes + size > LIVE_BYTES_MAX) return;
    uint16_t index = op->other >= 248 ? SHADOW_NONE : run_pick_live(run, op->pick);
    struct shadow_block old = {.start = 0};
    if (index != SHADOW_NONE && run->shadow.blocks[index].origin == ORIGIN_NEW) return;
    if (index != SHADOW_NONE) {
        run_compare(run, index);
        old = run->shadow.blocks[index];
        shadow_death(&run->shadow, index);
        run_keeps_back(run, &old); /* if it moves */
    }
    unsigned thread = run->thread;
    run->resizing[thread].old = old;
    run->resizing[thread].size = size;
    errno = ERRNO_MARK;
    void *block = call_resize(run, op, (void *)old.start, size);
    run->resizing[thread].old.start = 0;
    if (block) {
        expect_errno(run, ERRNO_MARK, "realloc");
        if (index == SHADOW_NONE)
            verb_take(run, (uintptr_t)block, size, 1, ORIGIN_REALLOC, false);
        else if (size == 0)
            run_fail(run, "realloc to no bytes gave a block");
        else
            verb_take_resized(run, &old, (uintptr_t)block, size);
        return;
    }
    if (index != SHADOW_NONE && size == 0) {
        expect_errno(run, ERRNO_MARK, "realloc to no bytes");
        return;
    }
    judge_null(run, size, 1, "realloc");
    if (index == SHADOW_NONE) return;
    index = shadow_revive(&run->shadow, &old);
    if (index == SHADOW_NONE) run_fail(run, "a block that realloc kept overlaps another");
    run_compare(run, index);
    if (run_block_hook != NULL) run_block_hook(index, true); /* who has it next knows it so */
}

void verb_free_block(struct run *run, uint16_t index, bool sized) {
    run_compare(run, index);
    const struct shadow_block block = run->shadow.blocks[index];
    void *start = (void *)block.start;
    shadow_death(&run->shadow, index);
    run_keeps_back(run, &block);
    errno = ERRNO_MARK;
    if (block.origin == ORIGIN_NEW)
        run->subject->delete_block(start);
    else if (sized && (block.origin == ORIGIN_MALLOC || block.origin == ORIGIN_REALLOC))
        run->subject->free_sized(start, block.requested);
    else if (sized && block.origin == ORIGIN_ALIGNED)
        run->subject->free_aligned_sized(start, block.alignment, block.requested);
    else
        run->subject->free(start);
    expect_errno(run, ERRNO_MARK, "free");
}

void verb_free(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index != SHADOW_NONE) verb_free_block(run, index, op->code == OP_FREE_SIZED);
}

/* Orders of freeing: from a block forward or backward in the list (about allocation order), every
   second, at random, and all of one block size. */
void verb_free_many(struct run *run, const struct input_op *op) {
    unsigned count = 1u << (1 + op->other % 11), at = (op->pick * run->shadow.live_count) >> 8;
    size_t usable = run->shadow.live_count ? run->shadow.blocks[run->shadow.live[at]].usable : 0;
    for (unsigned i = 0; i < count && run->shadow.live_count > 0; i++) {
        unsigned live = run->shadow.live_count;
        switch (op->kind % 5) {
        case 0: at = at % live; break; /* the last takes the place of the one that goes */
        case 1: at = (at + live - 1) % live; break;
        case 2: at = (at + 2) % live; break;
        case 3: at = rng_below(&run->random, live); break;
        default:
            for (unsigned steps = 0;
                 steps < live && run->shadow.blocks[run->shadow.live[at % live]].usable != usable;
                 steps++)
                at++;
            at %= live;
            if (run->shadow.blocks[run->shadow.live[at]].usable != usable) return;
            break;
        }
        verb_free_block(run, run->shadow.live[at], (op->value >> (i & 31)) & 1);
    }
}

void verb_free_null(struct run *run, const struct input_op *op) {
    (void)op;
    errno = ERRNO_MARK;
    run->subject->free(NULL);
    run->subject->free_sized(NULL, 10);
    run->subject->free_aligned_sized(NULL, 64, 10);
    if (run->subject->usable_size(NULL) != 0) run_fail(run, "NULL has a usable size");
    if (run->subject->owns(NULL)) run_fail(run, "owns NULL");
    expect_errno(run, ERRNO_MARK, "a verb given NULL");
}

static void reject_posix_memalign(struct run *run, size_t alignment, size_t size) {
    void *mark = (void *)(uintptr_t)ERRNO_MARK, *block = mark;
    int result = run->subject->posix_memalign(&block, alignment, size);
    if (result != EINVAL)
        run_fail(run, "posix_memalign with alignment %zu gave %d", alignment, result);
    if (block != mark) run_fail(run, "posix_memalign failed and changed its result");
    expect_errno(run, ERRNO_MARK, "posix_memalign");
}

static void reject_aligned_alloc(struct run *run, size_t alignment, size_t size) {
    if (run->subject->aligned_alloc(alignment, size))
        run_fail(run, "aligned_alloc with alignment %zu gave a block", alignment);
    /* a right alignment that cannot be had is no wrong one */
    expect_errno(run, is_power_of_two(alignment) ? ENOMEM : EINVAL, "aligned_alloc");
}

/* Two factors whose product does not fit into a size; every other time what is left of it would be
   a size like any other. */
static void overflowing(const struct input_op *op, size_t *big, size_t *factor) {
    unsigned shift = 1 + op->other % 32;
    if (op->value % 2 == 0) {
        *factor = (size_t)1 << shift;
        *big = ((size_t)1 << (64 - shift)) + op->value % 512;
    } else {
        *factor = 3 + op->other % 100;
        *big = SIZE_MAX / 2 - op->value;
    }
}

void verb_reject(struct run *run, const struct input_op *op) {
    size_t size = size_decode(op->kind, op->value), big, factor;
    overflowing(op, &big, &factor);
    uint16_t index = run_pick_live(run, op->pick);
    errno = ERRNO_MARK;
    switch (op->other % 9) {
    case 0: reject_aligned_alloc(run, 0, size); break;
    case 1: reject_aligned_alloc(run, 3 * alignment_decode((uint8_t)op->value), size); break;
    case 2: reject_aligned_alloc(run, (size_t)1 << (31 + op->value % 33), size); break;
    case 3: reject_posix_memalign(run, (size_t)1 << (op->value % 3), size); break;
    case 4: reject_posix_memalign(run, 3 * alignment_decode((uint8_t)op->value), size); break;
    case 5: reject_posix_memalign(run, 0, size); break;
    case 6:
        if (run->subject->calloc(big, factor))
            run_fail(run, "calloc of a product that overflows gave a block");
        expect_errno(run, ENOMEM, "calloc of a product that overflows");
        break;
    default:
        if (run->subject->reallocarray(
                index == SHADOW_NONE ? NULL : (void *)run->shadow.blocks[index].start, big, factor))
            run_fail(run, "reallocarray of a product that overflows gave a block");
        expect_errno(run, ENOMEM, "reallocarray of a product that overflows");
        if (index != SHADOW_NONE) run_compare(run, index);
        break;
    }
}

void verb_usable(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t usable = run->subject->usable_size((void *)block->start);
    if (usable != block->usable)
        run_fail(run, "usable size was %zu and is now %zu", block->usable, usable);
    run_compare(run, index);
}

void verb_owns(struct run *run, const struct input_op *op) {
    int local = 0;
    if (run->subject->owns(&local)) run_fail(run, "owns an address on the stack");
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t offset = block->usable ? op->value % block->usable : 0;
    if (!run->subject->owns((void *)(block->start + offset)))
        run_fail(run, "does not own a live block");
}

void verb_check(struct run *run, const struct input_op *op) {
    (void)op;
    unsigned tolerated = run->tolerated;
    /* The checker may word a damaged list as damaged metadata. */
    if (tolerated) run->tolerated |= KIND_BIT(REPORT_CORRUPT_METADATA);
    run->subject->check();
    run->tolerated = tolerated;
    if (!run->at_once) run_judge_left_over(run);
    for (unsigned i = 0; i < run->shadow.live_count; i++) run_compare(run, run->shadow.live[i]);
}

void verb_trim(struct run *run, const struct input_op *op) {
    (void)op;
    run_trace(run, run->subject->trim());
    run_empties_quarantine(run);
}

void verb_clock(struct run *run, const struct input_op *op) {
    run->subject->advance_clock(op->value % 1500);
}

void verb_fault(struct run *run, const struct input_op *op) {
    enum { MORE_MAX = 5 * 1024 * 1024 }; /* a segment and something */
    if (run->faults_armed >= run->input->fault_budget || run->subject->fault_kinds == 0) return;
    run->faults_armed++;
    run->is_limited = false;
    bool for_good = (run->input->flags & INPUT_SHORTAGE) != 0;
    if (for_good && run->faults_armed % 2 == 0) {
        run->subject->fail_none();
    } else if (for_good && op->other & 8) {
        run->is_limited = true;
        run->subject->limit(op->value % MORE_MAX);
    } else {
        run->subject->fail_nth(op->value % run->subject->fault_kinds, 1 + op->other % 8, for_good);
    }
}
