/*
 * dlopen: the name, on aarch64 (see deepbind.c).
 *
 * deepbind_prepare(file, flags) says in x0 where to go on and in x1 with which flags. The last
 * instruction is a branch, so that the C library finds its caller's return address in x30. It goes
 * by x16, from where a function may be entered as by a call.
 */
        .text
        .globl  dlopen
        .hidden moat_own_dlopen
        .globl  moat_own_dlopen
        .type   dlopen, %function
        .type   moat_own_dlopen, %function
        .p2align 4
dlopen:
moat_own_dlopen:
        .cfi_startproc
        hint    25                      /* paciasp: signs x30, and may be branched to */
        .cfi_negate_ra_state
        stp     x29, x30, [sp, -32]!
        .cfi_adjust_cfa_offset 32
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        str     x0, [sp, 16]
        .hidden deepbind_prepare
        bl      deepbind_prepare
        mov     x16, x0
        ldr     x0, [sp, 16]
        ldp     x29, x30, [sp], 32
        .cfi_restore x29
        .cfi_restore x30
        .cfi_adjust_cfa_offset -32
        hint    29                      /* autiasp */
        .cfi_negate_ra_state
        br      x16
        .cfi_endproc
        .size   dlopen, . - dlopen
        .size   moat_own_dlopen, . - moat_own_dlopen

/* This file keeps the rules of branch targets and of signed return addresses: without this note the
   linker would take that promise from the whole library, where the compiler gave it. */
        .section .note.gnu.property, "a", %note
        .p2align 3
        .long   4                       /* length of the name */
        .long   16                      /* of what follows it */
        .long   5                       /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000000              /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
        .long   4
        .long   3                       /* branch targets, signed return addresses */
        .long   0                       /* to a multiple of 8 */

        .section .note.GNU-stack, "", %progbits
