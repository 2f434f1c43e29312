/*
 * contract: the verbs that give, resize and take blocks, and what is due from each.
 *
 * A row for every public name. What must come of a call follows from its arguments alone, as the
 * standards, the C library's manual and include/moat.h say: whether there may be a block, of how
 * many bytes and how aligned, or which error. Pure, but for contract_call(), which calls.
 */
#ifndef ENGINE_CONTRACT_H
#define ENGINE_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

/* How a verb is called; `tag` is where C++ has std::nothrow. */
enum verb_form {
    GIVE_SIZE,                /* (size) */
    GIVE_PRODUCT,             /* (count, size) */
    GIVE_ALIGNED,             /* (alignment, size) */
    GIVE_INTO,                /* (result, alignment, size) */
    GIVE_NEW,                 /* (size), or throws */
    GIVE_NEW_NOTHROW,         /* (size, tag) */
    GIVE_NEW_ALIGNED,         /* (size, alignment), or throws */
    GIVE_NEW_ALIGNED_NOTHROW, /* (size, alignment, tag) */
    RESIZE,                   /* (block, size) */
    RESIZE_PRODUCT,           /* (block, count, size) */
    TAKE,                     /* (block) */
    TAKE_SIZED,               /* (block, size) */
    TAKE_ALIGNED_SIZED,       /* (block, alignment, size) */
    TAKE_TAG,                 /* (block, tag) */
    TAKE_ALIGNED,             /* (block, alignment) */
    TAKE_ALIGNED_TAG,         /* (block, alignment, tag) */
    TAKE_SIZED_ALIGNED        /* (block, size, alignment) */
};

/* What a verb makes of its alignment, or of having none. */
enum verb_rule {
    RULE_NONE,          /* that of every block */
    RULE_ALIGNED_ALLOC, /* a power of two */
    RULE_POSIX,         /* a power of two, and a multiple of a pointer's size */
    RULE_MEMALIGN,      /* rounded up to a power of two */
    RULE_PAGE,          /* an OS page */
    RULE_PAGES,         /* likewise, and the size is rounded up to whole ones */
    RULE_NEW            /* a power of two; C++ has no other */
};

enum verb_family { OF_MALLOC, OF_NEW, OF_NEW_ARRAY };

/* What a refusal does to errno; every success keeps it, and so does every TAKE. */
enum verb_errno {
    ERRNO_SET,               /* the error */
    ERRNO_KEPT,              /* nothing */
    ERRNO_SET_FOR_NO_MEMORY, /* ENOMEM; an invalid argument does nothing */
    ERRNO_OPEN               /* C++ has no errno */
};

struct verb {
    const char *name;
    enum verb_form form;
    enum verb_rule rule;
    enum verb_family family;
    enum verb_errno refusal;
    bool is_zeroed;
    union verb_function {
        void *(*of_size)(size_t size);
        void *(*of_two)(size_t first, size_t second);
        int (*into)(void **result, size_t alignment, size_t size);
        void *(*with_tag)(size_t size, const void *tag);
        void *(*aligned_with_tag)(size_t size, size_t alignment, const void *tag);
        void *(*resize)(void *block, size_t size);
        void *(*resize_product)(void *block, size_t count, size_t size);
        void (*take)(void *block);
        void (*take_with)(void *block, size_t number);
        void (*take_with_two)(void *block, size_t first, size_t second);
        void (*take_tag)(void *block, const void *tag);
        void (*take_aligned_tag)(void *block, size_t alignment, const void *tag);
    } function;
    const char *counterpart; /* the C library's name of the same; NULL: it has none */
};

enum {
    CONTRACT_GIVERS = 19,
    CONTRACT_RESIZERS = 4,
    CONTRACT_TAKERS = 19,
};
struct contract {
    struct verb give[CONTRACT_GIVERS], resize[CONTRACT_RESIZERS], take[CONTRACT_TAKERS];
};
extern const struct contract contract_moat;

struct call {
    const struct verb *verb;
    void *block; /* that a resize or a take is given; NULL: none */
    size_t alignment, count, size;
    /* What came of it. */
    void *result; /* the block; also what GIVE_INTO wrote */
    int status;   /* what GIVE_INTO returned */
};

/* What is due. */
struct duty {
    size_t bytes, alignment; /* of the block, if there is one */
    int error;    /* EINVAL or ENOMEM: there is none; 0: there is one if there is memory */
    bool is_free; /* the old block is freed, and no other is given */
};
/* `zero_is_block`: a resize to no bytes gives a block (zero_realloc=alloc). */
struct duty contract_of(const struct call *call, bool zero_is_block);
/* What errno is after a call that was refused with the error; negative: that is open. */
int contract_errno(const struct verb *verb, int error, int before);
bool contract_is_resize(const struct verb *verb);
bool contract_may_throw(const struct verb *verb);
/* What GIVE_INTO's result holds before the call, and errno before every call. */
#define CONTRACT_MARK ((void *)(uintptr_t)0x5a5a)
enum { CONTRACT_ERRNO = 4242 };
/* Carries it out. */
void contract_call(struct call *call, union verb_function function);

#endif
