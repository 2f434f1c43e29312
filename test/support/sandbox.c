/* sandbox: see sandbox.h. */
#include "sandbox.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

bool sandbox_add(long call, uint32_t third, enum sandbox_action action, int error) {
    uint32_t verdict = action == SANDBOX_KILL ? SECCOMP_RET_KILL_PROCESS
                       : action == SANDBOX_TRAP
                           ? SECCOMP_RET_TRAP
                           : SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
    /* The low half stands first in memory on the little-endian machines that moat supports. */
    uint32_t argument = offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t);
    bool any = third == SANDBOX_ANY_ARGUMENT;
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
        BPF_JUMP(BPF_JMP | (any ? BPF_JGE : BPF_JEQ) | BPF_K, any ? 0 : third, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, verdict),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
