/*
 * attempt: what an attacker has in one attempt, and the truth about it.
 *
 * He holds every pointer that he ever had, can read and write what it leads to, and free it. The
 * shadow model knows what is live; here stands what is in nobody's hands: dangling pointers, links
 * that he damaged, the slots that pages were in. Each block that is handed out is judged by it.
 *
 * Until he does something wrong a report is a failure, afterwards any report but one of damage to
 * moat's own tables is the end that is wanted. Whatever he reaches before is noted. One real
 * thread; others are virtual, and do nothing but allocate and free in between.
 */
#ifndef ENGINE_ATTEMPT_H
#define ENGINE_ATTEMPT_H

#include "engine/aims.h"
#include "engine/run.h"

enum { DANGLING_MAX = 64, WOUNDS_MAX = 16, PLACES_MAX = 32, ATTEMPT_THREADS = 3 };

/* How somebody made what stands in the place of a link. */
enum wound_kind {
    WOUND_BLIND, /* by changing what stood there */
    WOUND_GUESS, /* whole, without the secret of the page */
    WOUND_KNOWN  /* whole, with it */
};

struct wound {
    struct shadow_block block; /* the free block, as it was when it was written to */
    uint16_t grave;
    enum wound_kind kind;
    uint64_t before; /* the link that stood there */
    uintptr_t target;
    bool is_sure; /* just before an allocation: it is on a list, and was not linked anew */
};

/* A segment that had small pages, and which of its slots. */
struct place {
    uintptr_t segment;
    uint64_t slots;
    bool is_mixed; /* or other blocks as well */
};

struct attempt {
    struct run *run;
    unsigned moves;              /* so far */
    unsigned reached;            /* a bit for each aim */
    bool is_wrong;               /* he has done something wrong */
    unsigned wrong_at, ended_at; /* moves */
    enum ending ending;
    struct shadow_block dangling[DANGLING_MAX]; /* the newest over the oldest */
    unsigned dangling_count;
    struct wound wounds[WOUNDS_MAX];
    unsigned wound_count;
    struct place places[PLACES_MAX];
    unsigned place_count;
    struct shadow_block last; /* that was handed out to the first thread */
    uintptr_t expected;       /* the free block that a known link leads to, or 0 */
    uint64_t key;             /* the secret of the page of `key_of`, once he knows one */
    struct shadow_block key_of;
    uint64_t link; /* the last that he read; 0: none */
    /* Links or addresses that he made stand where nobody erases them: in what he finds of them
       there is nothing to judge. */
    bool has_left_words;
    bool by_other[SHADOW_BLOCKS];  /* of a grave: freed by another thread than its owner */
    bool is_broken[SHADOW_BLOCKS]; /* of a live block: its end was written over */
};

/* An attempt begins: with keys of its own, by the input's seed and this number. */
void attempt_begin(struct attempt *attempt, struct run *run, const struct subject *subject,
                   const struct input *input, unsigned number);
void attempt_end(struct attempt *attempt);

/* From now on he is an attacker. */
void attempt_goes_wrong(struct attempt *attempt);
/* He has what he wanted. */
void attempt_reach(struct attempt *attempt, enum aim aim);
/* An access to memory that is not accessible: the run is over. */
void attempt_faults(struct attempt *attempt);
/* What was to be reported was not. */
__attribute__((noreturn)) void attempt_missed(struct attempt *attempt, const char *what,
                                              uintptr_t address);

/* By that thread. What must not come of it is a failure. Its index, or SHADOW_NONE: not carried
   out. */
uint16_t attempt_take(struct attempt *attempt, size_t size, unsigned thread);
/* A right free; the pointer stays his. */
void attempt_give(struct attempt *attempt, uint16_t index, unsigned thread);
/* The same when the allocator has been called by other means. */
void attempt_given(struct attempt *attempt, uint16_t index, unsigned thread);
void attempt_be(const struct attempt *attempt, unsigned thread);

/* The dangling pointer that a pick names; NULL: there is none. */
const struct shadow_block *attempt_dangling(const struct attempt *attempt, unsigned pick);
/* Whether [start, start + size) is accessible. */
bool attempt_is_open(const struct attempt *attempt, uintptr_t start, size_t size);
/* He is about to write into the first word of free blocks in [start, start + size). */
void attempt_wound(struct attempt *attempt, uintptr_t start, size_t size, enum wound_kind kind,
                   uintptr_t target);

#endif
