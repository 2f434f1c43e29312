/*
 * dlopen: the name, on x86-64 (see deepbind.c).
 *
 * deepbind_prepare(file, flags) says in rax where to go on and in rdx with which flags. The last
 * instruction is a jump, so that the C library finds its caller's return address on the stack.
 */
        .text
        .globl  dlopen
        .hidden moat_own_dlopen
        .globl  moat_own_dlopen
        .type   dlopen, @function
        .type   moat_own_dlopen, @function
        .p2align 4
dlopen:
moat_own_dlopen:
        .cfi_startproc
        endbr64
        pushq   %rdi                    /* which aligns the stack for the call */
        .cfi_adjust_cfa_offset 8
        .hidden deepbind_prepare
        call    deepbind_prepare
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        movl    %edx, %esi
        jmp     *%rax
        .cfi_endproc
        .size   dlopen, . - dlopen
        .size   moat_own_dlopen, . - moat_own_dlopen

/* May be entered at its endbr64 alone, and its calls and returns are pairs. Without this note the
   linker would take that promise from the whole library, where the compiler gave it. */
        .section .note.gnu.property, "a", @note
        .p2align 3
        .long   4                       /* length of the name */
        .long   16                      /* of what follows it */
        .long   5                       /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002              /* GNU_PROPERTY_X86_FEATURE_1_AND */
        .long   4
        .long   3                       /* indirect branches, shadow stack */
        .long   0                       /* to a multiple of 8 */

        .section .note.GNU-stack, "", @progbits
