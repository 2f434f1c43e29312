// going_on: with on=report every function of the family returns what doc/reports.md says, and sets errno as it does.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <sys/syscall.h>
#include <unistd.h>

#include "api.h"
#include "moat.h"
#include "sandbox.h"

extern "C" const char *moat_default_options() { return "on=report"; }

namespace {

const std::size_t sizes[] = {0, 16, 48, 4096, 20000, 300000, 3u << 20};

void require_no_memory(const void *block, const char *name) {
    REQUIRE(block == nullptr && errno == ENOMEM, "%s gave %p with errno %d", name, block, errno);
    errno = 0;
}

void require_errno_kept(const char *name) {
    REQUIRE(errno == EXDEV, "%s set errno to %d", name, errno);
}

// What is no live block is left alone, whatever lies there.
void every_verb_leaves_alone(void *address, std::size_t size) {
    errno = EXDEV;
    std::free(launder(address));
    require_errno_kept("free");
    family.free_sized(launder(address), size);
    family.free_aligned_sized(launder(address), 16, size);
    ::operator delete(launder(address));
    ::operator delete[](launder(address), size);
    ::operator delete(launder(address), size, std::align_val_t{64});
    require_errno_kept("a sized free");
    REQUIRE(malloc_usable_size(launder(address)) == 0, "the usable size of no block");
    require_errno_kept("malloc_usable_size");
    REQUIRE(realloc(launder(address), 0) == nullptr, "realloc to nothing, of no block");
    require_errno_kept("realloc to nothing");
    for (std::size_t wanted : sizes) {
        if (wanted == 0) continue;
        require_no_memory(realloc(launder(address), wanted), "realloc");
        require_no_memory(reallocarray(launder(address), 2, wanted), "reallocarray");
    }
}

void misuse_blocks(void *) {
    static char outside[64];
    for (std::size_t size : sizes) {
        char *before = static_cast<char *>(malloc(size)), *block = static_cast<char *>(malloc(size));
        std::memset(before, 0x22, size);
        std::free(launder(block));
        every_verb_leaves_alone(block, size);
        if (size > 16) every_verb_leaves_alone(before + 8, size);
        REQUIRE(malloc_usable_size(before) >= size, "the block beside it is its user's");
        for (std::size_t i = 0; i < size; i++) REQUIRE(before[i] == 0x22, "byte %zu of the block beside it", i);
        std::free(before);
    }
    every_verb_leaves_alone(outside, 64);
    every_verb_leaves_alone(reinterpret_cast<void *>(0x4141414141414140), 64);
    REQUIRE(family.check() > 0, "the tables are in order");
}

// The address is right: what was said of it is not, and it is freed.
void say_wrong_things(void *) {
    void *sized = malloc(48), *aligned = malloc(48);
    family.free_sized(launder(sized), 4800);
    family.free_aligned_sized(launder(aligned), 4096, 48);
    REQUIRE(malloc_usable_size(launder(sized)) == 0 && malloc_usable_size(launder(aligned)) == 0, "the blocks are free");
    ::operator delete(launder(::operator new(48)), 4800);
}

void *kept[2];
volatile sig_atomic_t handled;

void take_in_handler() {
    void *block = kept;
    errno = 0;
    require_no_memory(malloc(48), "malloc");
    require_no_memory(malloc(0), "malloc of nothing");
    require_no_memory(malloc(64u << 20), "a huge malloc");
    require_no_memory(calloc(3, 48), "calloc");
    require_no_memory(realloc(nullptr, 48), "realloc of NULL");
    require_no_memory(realloc(kept[0], 4800), "realloc of a live block");
    require_no_memory(reallocarray(kept[0], 3, 4800), "reallocarray of a live block");
    require_no_memory(aligned_alloc(64, 4800), "aligned_alloc");
    require_no_memory(memalign(64, 4800), "memalign");
    require_no_memory(valloc(4800), "valloc");
    REQUIRE(posix_memalign(&block, 64, 4800) == ENOMEM && block == kept, "posix_memalign");
    REQUIRE(::operator new(4800, std::nothrow) == nullptr, "new that may not throw");
    bool thrown = false;
    try {
        (void)launder(::operator new(4800));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    REQUIRE(thrown, "new throws");
}

void on_signal(int) {
    if (handled++ != 0) return;
    take_in_handler();
    errno = EXDEV;
    std::free(kept[0]);
    family.free_sized(kept[0], 48);
    ::operator delete(kept[1]);
    require_errno_kept("a free");
    REQUIRE(malloc_usable_size(kept[0]) == 0, "a usable size");
    REQUIRE(malloc_trim(0) == 0 && family.check() == 0, "malloc_trim and moat_check");
}

// A system call that the allocator makes while it is at work raises a signal: no timing.
void interrupt(void *) {
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    kept[0] = malloc(48);
    kept[1] = ::operator new(48);
    void *room = malloc(5000);
    REQUIRE(sigaction(SIGSYS, &action, nullptr) == 0, "a handler can be set");
    if (!sandbox_add(SYS_mprotect, SANDBOX_ANY_ARGUMENT, SANDBOX_TRAP, 0)) _exit(TEST_SKIPPED);
    for (unsigned i = 0; i < 64 && handled == 0; i++) (void)launder(malloc(300000));
    REQUIRE(handled != 0, "the handler ran");
    REQUIRE(malloc_usable_size(kept[0]) >= 48, "what the handler freed is live");
    std::free(kept[0]);
    ::operator delete(kept[1]);
    std::free(room);
}

unsigned count(const char *text, const char *part) {
    unsigned found = 0;
    for (const char *at = text; (at = std::strstr(at, part)) != nullptr; at++) found++;
    return found;
}

// Ends with exit status 0, has said so many reports of the kind at least, and none that ends the program.
void require_goes_on(const char *kind, unsigned least, void (*act)(void *)) {
    static char text[1 << 20];
    char line[64];
    int status = run_child(30, act, nullptr, text, sizeof text);
    if (status == TEST_SKIPPED << 8) {
        say("skipped: this kernel has no seccomp filters");
        return;
    }
    REQUIRE(status == 0, "%s: status %#x; stderr: %.300s", kind, static_cast<unsigned>(status), text);
    std::snprintf(line, sizeof line, "moat: error: %s: ", kind);
    REQUIRE(count(text, line) >= least, "%u reports of %s", count(text, line), kind);
    REQUIRE(count(text, "moat: fatal: ") == 0, "a report ends the program");
}

} // namespace

int main() {
    require_moat(100);
    require_goes_on("double-free", 10, misuse_blocks);
    require_goes_on("size-mismatch", 2, say_wrong_things);
    require_goes_on("alignment-mismatch", 1, say_wrong_things);
    require_goes_on("reentrant-call", 10, interrupt);
    return 0;
}
