/*
 * fiber: virtual threads on one real one. See the header.
 *
 * A switch saves the registers that a call preserves on the stack that is left and takes them from
 * the one that is entered. AddressSanitizer must be told where stacks begin and end.
 */
#define _GNU_SOURCE
#include "engine/fiber.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define HAND_WRITTEN 1
#else
#define HAND_WRITTEN 0
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif

enum { STACK_BYTES = 256 * 1024, GUARD_BYTES = 64 * 1024 };

static struct fiber {
    void *saved; /* stack pointer while it does not run */
    char *stack; /* its lowest byte; NULL: never made, or the caller's own */
    void (*entry)(unsigned number);
    int error;
#if !HAND_WRITTEN
    ucontext_t context;
#endif
} fibers[FIBERS_MAX];

static unsigned self;

#ifdef UNDER_ADDRESS_SANITIZER
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
void __asan_unpoison_memory_region(const volatile void *start, size_t size);
static const void *own_bottom;
static size_t own_size;

/* Nobody is left in the frames of an input before, which marked their variables. */
static void forget_frames(const struct fiber *fiber) {
    __asan_unpoison_memory_region(fiber->stack, STACK_BYTES);
}

static void say_leaving(unsigned to) {
    if (to != 0)
        __sanitizer_start_switch_fiber(NULL, fibers[to].stack, STACK_BYTES);
    else
        __sanitizer_start_switch_fiber(NULL, own_bottom, own_size);
}
static void say_arrived(unsigned from) {
    const void *bottom = NULL;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (from == 0) {
        own_bottom = bottom;
        own_size = size;
    }
}
#else
static void forget_frames(const struct fiber *fiber) { (void)fiber; }
static void say_leaving(unsigned to) { (void)to; }
static void say_arrived(unsigned from) { (void)from; }
#endif

static unsigned came_from;

/* Where a fiber's first switch leads. */
static void begin(void) {
    say_arrived(came_from);
    fibers[self].entry(self);
    abort();
}

#if defined(__x86_64__)
void fiber_swap(void **save, void *load);
__asm__(".text\n"
        ".type fiber_swap, @function\n"
        "fiber_swap:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size fiber_swap, .-fiber_swap\n");
enum { SAVED_WORDS = 6 };

/* Six registers, the address that `ret` goes to, and one word that keeps the stack aligned. */
static void *first_frame(char *top) {
    void **frame = (void **)top - (SAVED_WORDS + 2);
    for (unsigned i = 0; i < SAVED_WORDS + 2; i++) frame[i] = NULL;
    frame[SAVED_WORDS] = (void *)begin;
    return frame;
}
#elif defined(__aarch64__)
void fiber_swap(void **save, void *load);
__asm__(".text\n"
        ".type fiber_swap, %function\n"
        "fiber_swap:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n"
        "  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n"
        "  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n"
        "  ret\n"
        ".size fiber_swap, .-fiber_swap\n");
enum { SAVED_WORDS = 20, LINK_WORD = 11 };

static void *first_frame(char *top) {
    void **frame = (void **)top - SAVED_WORDS;
    for (unsigned i = 0; i < SAVED_WORDS; i++) frame[i] = NULL;
    frame[LINK_WORD] = (void *)begin;
    return frame;
}
#endif

static void need_stack(struct fiber *fiber) {
    if (fiber->stack != NULL) return;
    char *memory = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0) {
        fprintf(stderr, "fuzz: no memory for the stack of a virtual thread\n");
        exit(2);
    }
    fiber->stack = memory + GUARD_BYTES;
}

void fiber_make(unsigned number, void (*entry)(unsigned number)) {
    struct fiber *fiber = &fibers[number];
    need_stack(fiber);
    forget_frames(fiber);
    fiber->entry = entry;
    fiber->error = 0;
#if HAND_WRITTEN
    fiber->saved = first_frame(fiber->stack + STACK_BYTES);
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, begin, 0);
#endif
}

void fiber_switch(unsigned to) {
    unsigned from = self;
    fibers[from].error = errno;
    came_from = from;
    self = to;
    say_leaving(to);
#if HAND_WRITTEN
    fiber_swap(&fibers[from].saved, fibers[to].saved);
#else
    swapcontext(&fibers[from].context, &fibers[to].context);
#endif
    say_arrived(came_from);
    errno = fibers[from].error;
}

unsigned fiber_self(void) { return self; }

void fiber_reset(void) { self = 0; }
