/*
 * contract: the verbs that give, resize and take blocks, and what is due from each. See the header.
 *
 * The table is written out: each row is a promise, and a row that is wrong is found by the first
 * search.
 */
#include "engine/contract.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "base/base.h"
#include "base/bits.h"
#include "engine/named.h"
#include "engine/sizing.h"
#include "moat.h"

const struct contract contract_moat = {
    .give =
        {
            {"moat_malloc", GIVE_SIZE, .function.of_size = moat_malloc, .counterpart = "malloc"},
            {"malloc", GIVE_SIZE, .function.of_size = named_malloc, .counterpart = "malloc"},
            {"moat_calloc", GIVE_PRODUCT, .is_zeroed = true, .function.of_two = moat_calloc,
             .counterpart = "calloc"},
            {"calloc", GIVE_PRODUCT, .is_zeroed = true, .function.of_two = named_calloc,
             .counterpart = "calloc"},
            {"moat_aligned_alloc", GIVE_ALIGNED, RULE_ALIGNED_ALLOC,
             .function.of_two = moat_aligned_alloc, .counterpart = "aligned_alloc"},
            {"aligned_alloc", GIVE_ALIGNED, RULE_ALIGNED_ALLOC,
             .function.of_two = named_aligned_alloc, .counterpart = "aligned_alloc"},
            {"moat_posix_memalign", GIVE_INTO, RULE_POSIX, .refusal = ERRNO_KEPT,
             .function.into = moat_posix_memalign, .counterpart = "posix_memalign"},
            {"posix_memalign", GIVE_INTO, RULE_POSIX, .refusal = ERRNO_SET_FOR_NO_MEMORY,
             .function.into = named_posix_memalign, .counterpart = "posix_memalign"},
            {"memalign", GIVE_ALIGNED, RULE_MEMALIGN, .function.of_two = named_memalign,
             .counterpart = "memalign"},
            {"valloc", GIVE_SIZE, RULE_PAGE, .function.of_size = named_valloc,
             .counterpart = "valloc"},
            {"pvalloc", GIVE_SIZE, RULE_PAGES, .function.of_size = named_pvalloc,
             .counterpart = "pvalloc"},
            {"new", GIVE_NEW, RULE_NONE, OF_NEW, ERRNO_OPEN, .function.of_size = named_new},
            {"new[]", GIVE_NEW, RULE_NONE, OF_NEW_ARRAY, ERRNO_OPEN,
             .function.of_size = named_new_array},
            {"new nothrow", GIVE_NEW_NOTHROW, RULE_NONE, OF_NEW, ERRNO_OPEN,
             .function.with_tag = named_new_nothrow},
            {"new[] nothrow", GIVE_NEW_NOTHROW, RULE_NONE, OF_NEW_ARRAY, ERRNO_OPEN,
             .function.with_tag = named_new_array_nothrow},
            {"new aligned", GIVE_NEW_ALIGNED, RULE_NEW, OF_NEW, ERRNO_OPEN,
             .function.of_two = named_new_aligned},
            {"new[] aligned", GIVE_NEW_ALIGNED, RULE_NEW, OF_NEW_ARRAY, ERRNO_OPEN,
             .function.of_two = named_new_array_aligned},
            {"new aligned nothrow", GIVE_NEW_ALIGNED_NOTHROW, RULE_NEW, OF_NEW, ERRNO_OPEN,
             .function.aligned_with_tag = named_new_aligned_nothrow},
            {"new[] aligned nothrow", GIVE_NEW_ALIGNED_NOTHROW, RULE_NEW, OF_NEW_ARRAY, ERRNO_OPEN,
             .function.aligned_with_tag = named_new_array_aligned_nothrow},
        },
    .resize =
        {
            {"moat_realloc", RESIZE, .function.resize = moat_realloc, .counterpart = "realloc"},
            {"realloc", RESIZE, .function.resize = named_realloc, .counterpart = "realloc"},
            {"moat_reallocarray", RESIZE_PRODUCT, .function.resize_product = moat_reallocarray,
             .counterpart = "reallocarray"},
            {"reallocarray", RESIZE_PRODUCT, .function.resize_product = named_reallocarray,
             .counterpart = "reallocarray"},
        },
    .take =
        {
            {"moat_free", TAKE, .function.take = moat_free},
            {"free", TAKE, .function.take = named_free},
            {"cfree", TAKE, .function.take = named_cfree},
            {"moat_free_sized", TAKE_SIZED, .function.take_with = moat_free_sized},
            {"free_sized", TAKE_SIZED, .function.take_with = named_free_sized},
            {"moat_free_aligned_sized", TAKE_ALIGNED_SIZED,
             .function.take_with_two = moat_free_aligned_sized},
            {"free_aligned_sized", TAKE_ALIGNED_SIZED,
             .function.take_with_two = named_free_aligned_sized},
            {"delete", TAKE, .family = OF_NEW, .function.take = named_delete},
            {"delete[]", TAKE, .family = OF_NEW_ARRAY, .function.take = named_delete_array},
            {"delete nothrow", TAKE_TAG, .family = OF_NEW,
             .function.take_tag = named_delete_nothrow},
            {"delete[] nothrow", TAKE_TAG, .family = OF_NEW_ARRAY,
             .function.take_tag = named_delete_array_nothrow},
            {"delete sized", TAKE_SIZED, .family = OF_NEW,
             .function.take_with = named_delete_sized},
            {"delete[] sized", TAKE_SIZED, .family = OF_NEW_ARRAY,
             .function.take_with = named_delete_array_sized},
            {"delete aligned", TAKE_ALIGNED, .family = OF_NEW,
             .function.take_with = named_delete_aligned},
            {"delete[] aligned", TAKE_ALIGNED, .family = OF_NEW_ARRAY,
             .function.take_with = named_delete_array_aligned},
            {"delete aligned nothrow", TAKE_ALIGNED_TAG, .family = OF_NEW,
             .function.take_aligned_tag = named_delete_aligned_nothrow},
            {"delete[] aligned nothrow", TAKE_ALIGNED_TAG, .family = OF_NEW_ARRAY,
             .function.take_aligned_tag = named_delete_array_aligned_nothrow},
            {"delete sized aligned", TAKE_SIZED_ALIGNED, .family = OF_NEW,
             .function.take_with_two = named_delete_sized_aligned},
            {"delete[] sized aligned", TAKE_SIZED_ALIGNED, .family = OF_NEW_ARRAY,
             .function.take_with_two = named_delete_array_sized_aligned},
        },
};

bool contract_is_resize(const struct verb *verb) {
    return verb->form == RESIZE || verb->form == RESIZE_PRODUCT;
}

bool contract_may_throw(const struct verb *verb) {
    return verb->form == GIVE_NEW || verb->form == GIVE_NEW_ALIGNED;
}

static size_t os_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* The power of two that memalign takes instead of an alignment. */
static size_t rounded_alignment(size_t alignment) {
    size_t power = 1;
    while (power < alignment) power <<= 1;
    return power;
}

/* 0, or why no block can be had with that alignment. */
static int judge_alignment(enum verb_rule rule, size_t alignment) {
    switch (rule) {
    case RULE_NONE:
    case RULE_PAGE:
    case RULE_PAGES: return 0;
    case RULE_NEW: return is_power_of_two(alignment) && alignment <= ALIGN_MAX ? 0 : EINVAL;
    case RULE_ALIGNED_ALLOC:
        if (!is_power_of_two(alignment)) return EINVAL;
        break;
    case RULE_POSIX:
        if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0) return EINVAL;
        break;
    case RULE_MEMALIGN:
        if (alignment > SIZE_MAX / 2 + 1) return EINVAL;
        break;
    }
    return alignment > ALIGN_MAX ? ENOMEM : 0;
}

static size_t due_alignment(enum verb_rule rule, size_t alignment) {
    switch (rule) {
    case RULE_NONE: break;
    case RULE_PAGE:
    case RULE_PAGES: return os_page();
    case RULE_ALIGNED_ALLOC:
    case RULE_NEW:
    case RULE_POSIX: return alignment;
    case RULE_MEMALIGN: return rounded_alignment(alignment);
    }
    return 1;
}

/* False: they are more than can be counted. */
static bool due_bytes(const struct call *call, size_t *bytes) {
    const struct verb *verb = call->verb;
    *bytes = call->size;
    if (verb->form == GIVE_PRODUCT || verb->form == RESIZE_PRODUCT)
        return !__builtin_mul_overflow(call->count, call->size, bytes);
    if (verb->rule != RULE_PAGES) return true;
    bool wraps = __builtin_add_overflow(call->size, os_page() - 1, bytes);
    *bytes = round_down(*bytes, os_page());
    return !wraps;
}

struct duty contract_of(const struct call *call, bool zero_is_block) {
    struct duty duty = {.bytes = SIZE_MAX, .alignment = 1};
    bool fits = due_bytes(call, &duty.bytes);
    duty.error = judge_alignment(call->verb->rule, call->alignment);
    if (duty.error == 0) {
        duty.alignment = due_alignment(call->verb->rule, call->alignment);
        if (!fits || duty.bytes >= SIZE_IMPOSSIBLE) duty.error = ENOMEM;
    }
    duty.is_free = contract_is_resize(call->verb) && call->block != NULL && fits &&
                   duty.bytes == 0 && !zero_is_block;
    return duty;
}

int contract_errno(const struct verb *verb, int error, int before) {
    switch (verb->refusal) {
    case ERRNO_SET: return error;
    case ERRNO_KEPT: return before;
    case ERRNO_SET_FOR_NO_MEMORY: return error == ENOMEM ? error : before;
    case ERRNO_OPEN: break;
    }
    return -1;
}

/* Where std::nothrow would be. */
static const char tag;

static void take(const struct call *call, union verb_function function) {
    switch (call->verb->form) {
    case TAKE_SIZED: function.take_with(call->block, call->size); break;
    case TAKE_ALIGNED_SIZED:
        function.take_with_two(call->block, call->alignment, call->size);
        break;
    case TAKE_TAG: function.take_tag(call->block, &tag); break;
    case TAKE_ALIGNED: function.take_with(call->block, call->alignment); break;
    case TAKE_ALIGNED_TAG: function.take_aligned_tag(call->block, call->alignment, &tag); break;
    case TAKE_SIZED_ALIGNED:
        function.take_with_two(call->block, call->size, call->alignment);
        break;
    default: function.take(call->block); break;
    }
}

void contract_call(struct call *call, union verb_function function) {
    call->result = NULL;
    call->status = 0;
    switch (call->verb->form) {
    case GIVE_SIZE:
    case GIVE_NEW: call->result = function.of_size(call->size); break;
    case GIVE_PRODUCT: call->result = function.of_two(call->count, call->size); break;
    case GIVE_ALIGNED: call->result = function.of_two(call->alignment, call->size); break;
    case GIVE_INTO:
        call->result = CONTRACT_MARK;
        call->status = function.into(&call->result, call->alignment, call->size);
        break;
    case GIVE_NEW_NOTHROW: call->result = function.with_tag(call->size, &tag); break;
    case GIVE_NEW_ALIGNED: call->result = function.of_two(call->size, call->alignment); break;
    case GIVE_NEW_ALIGNED_NOTHROW:
        call->result = function.aligned_with_tag(call->size, call->alignment, &tag);
        break;
    case RESIZE: call->result = function.resize(call->block, call->size); break;
    case RESIZE_PRODUCT:
        call->result = function.resize_product(call->block, call->count, call->size);
        break;
    default: take(call, function); break;
    }
}
