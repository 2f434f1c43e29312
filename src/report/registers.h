/*
 * registers: what the unwinder knows of a processor.
 *
 * Which registers unwind tables speak of, by DWARF's numbers; how to take those of the running
 * function; what of a return address is the address. With base/cpu.h this is all that a port to
 * another processor writes: without it everything works, but a report has no stack.
 */
#ifndef MOAT_REGISTERS_H
#define MOAT_REGISTERS_H

#include "base/base.h"

#include <ucontext.h>

/* DWARF's numbers of the registers that matter for unwinding: the general ones, and on x86-64 the
   return address as 16. */
#if defined(__aarch64__)
#define CFI_REGISTERS 32
#define CFI_STACK_POINTER 31
#define CFI_FRAME_POINTER 29
#else
#define CFI_REGISTERS 17
#define CFI_STACK_POINTER 7
#define CFI_FRAME_POINTER 6
#endif

struct cfi_registers {
    uintptr_t value[CFI_REGISTERS];
    uintptr_t pc;
    /* pc is an instruction that was about to run, not the one behind a call */
    bool pc_is_exact;
};

/* Takes the registers of the function it is expanded in; false: this processor's are not known. */
#if defined(__x86_64__)
MOAT_INLINE bool registers_take(struct cfi_registers *registers) {
    __asm__ volatile("movq %%rbx, 24(%0)\n\t"
                     "movq %%rbp, 48(%0)\n\t"
                     "movq %%rsp, 56(%0)\n\t"
                     "movq %%r12, 96(%0)\n\t"
                     "movq %%r13, 104(%0)\n\t"
                     "movq %%r14, 112(%0)\n\t"
                     "movq %%r15, 120(%0)\n\t"
                     "leaq 0f(%%rip), %%rcx\n"
                     "0:\n\t"
                     "movq %%rcx, 128(%0)"
                     :
                     : "r"(registers->value)
                     : "rcx", "memory");
    registers->pc = registers->value[16];
    return true;
}
#elif defined(__aarch64__)
MOAT_INLINE bool registers_take(struct cfi_registers *registers) {
    uintptr_t pc = 0;
    __asm__ volatile("stp x19, x20, [%1, #152]\n\t"
                     "stp x21, x22, [%1, #168]\n\t"
                     "stp x23, x24, [%1, #184]\n\t"
                     "stp x25, x26, [%1, #200]\n\t"
                     "stp x27, x28, [%1, #216]\n\t"
                     "stp x29, x30, [%1, #232]\n\t"
                     "mov x9, sp\n\t"
                     "str x9, [%1, #248]\n\t"
                     "adr %0, ."
                     : "=&r"(pc)
                     : "r"(registers->value)
                     : "x9", "memory");
    registers->pc = pc;
    return true;
}
#else
MOAT_INLINE bool registers_take(struct cfi_registers *registers) {
    (void)registers;
    return false;
}
#endif

/* Of the context that a signal handler was given: all registers of the instruction that was about
   to run; and what it did, where that is why the signal came. False: not known here. */
#if defined(__x86_64__)
MOAT_INLINE bool registers_of_context(const void *context, struct cfi_registers *registers) {
    static const uint8_t order[CFI_REGISTERS] = {
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
        REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    const ucontext_t *at = context;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        registers->value[i] = (uintptr_t)at->uc_mcontext.gregs[order[i]];
    registers->pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
    return true;
}
MOAT_INLINE bool registers_tell_access(const void *context, bool *writes) {
    *writes = (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
    return true;
}
#elif defined(__aarch64__)
MOAT_INLINE bool registers_of_context(const void *context, struct cfi_registers *registers) {
    const ucontext_t *at = context;
    for (unsigned i = 0; i < CFI_STACK_POINTER; i++) registers->value[i] = at->uc_mcontext.regs[i];
    registers->value[CFI_STACK_POINTER] = at->uc_mcontext.sp;
    registers->pc = at->uc_mcontext.pc;
    return true;
}
/* A record among others behind the registers, each with its kind and size; 0 ends them. */
MOAT_INLINE bool registers_tell_access(const void *context, bool *writes) {
    const mcontext_t *registers = &((const ucontext_t *)context)->uc_mcontext;
    const char *records = (const char *)registers->__reserved;
    for (size_t at = 0; at + 16 <= sizeof registers->__reserved;) {
        uint32_t head[2];
        uint64_t syndrome;
        __builtin_memcpy(head, records + at, sizeof head);
        __builtin_memcpy(&syndrome, records + at + sizeof head, sizeof syndrome);
        if (head[0] == 0 || head[1] < sizeof head) return false;
        *writes = (syndrome >> 6 & 1) != 0;
        if (head[0] == 0x45535201) return true;
        at += head[1];
    }
    return false;
}
#else
MOAT_INLINE bool registers_of_context(const void *context, struct cfi_registers *registers) {
    (void)context;
    (void)registers;
    return false;
}
MOAT_INLINE bool registers_tell_access(const void *context, bool *writes) {
    (void)context;
    (void)writes;
    return false;
}
#endif

/* The code address in a return address. Pointer authentication keeps a signature in its unused
   bits. */
#if defined(__aarch64__)
MOAT_INLINE uintptr_t registers_code_address(uintptr_t address) {
    register uintptr_t link __asm__("x30") = address;
    __asm__("hint #7" : "+r"(link)); /* xpaclri; nothing on machines without signatures */
    return link;
}
#else
MOAT_INLINE uintptr_t registers_code_address(uintptr_t address) { return address; }
#endif

#endif
