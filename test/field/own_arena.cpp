/*
 * own_arena: a C++ program whose malloc, free, calloc, realloc and aligned ones are its own, and
 * whose free takes nothing else. The operators of a C++ runtime stand on malloc: every block must
 * be of the arena. valloc and pvalloc stand on memalign.
 */
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

extern "C" {
#define _Noreturn [[noreturn]]
#include "require.h"
#undef _Noreturn
void *memalign(size_t alignment, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
}

constexpr size_t ARENA = size_t{64} << 20;
alignas(4096) static char arena[ARENA];
static size_t used;

static bool is_ours(const void *block) {
    return reinterpret_cast<uintptr_t>(block) - reinterpret_cast<uintptr_t>(arena) < ARENA;
}

/* The size stands before the block. */
static void *take(size_t alignment, size_t size) {
    size_t at = (used + sizeof size + alignment - 1) / alignment * alignment;
    if (size > ARENA || at > ARENA - size) {
        errno = ENOMEM;
        return nullptr;
    }
    memcpy(arena + at - sizeof size, &size, sizeof size);
    used = at + size;
    return arena + at;
}

extern "C" {
void *malloc(size_t size) { return take(16, size); }
void free(void *block) {
    if (block != nullptr && !is_ours(block)) abort();
}
void *calloc(size_t count, size_t size) {
    size_t total = 0;
    return __builtin_mul_overflow(count, size, &total) ? nullptr : take(16, total);
}
void *realloc(void *block, size_t size) {
    size_t old = 0;
    void *moved = take(16, size);
    if (block == nullptr || moved == nullptr) return moved;
    memcpy(&old, static_cast<char *>(block) - sizeof old, sizeof old);
    memcpy(moved, block, old < size ? old : size);
    return moved;
}
void *memalign(size_t alignment, size_t size) { return take(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return take(alignment, size); }
int posix_memalign(void **result, size_t alignment, size_t size) {
    *result = take(alignment, size);
    return *result != nullptr ? 0 : ENOMEM;
}
}

#define IN_ARENA(expression)                                                                       \
    do {                                                                                           \
        void *block_ = launder(expression);                                                        \
        REQUIRE(is_ours(block_), #expression " left the arena");                                   \
        free(block_);                                                                              \
    } while (0)

int main() {
    constexpr std::align_val_t line{64};
    volatile size_t n = 100;
    IN_ARENA(operator new(n));
    IN_ARENA(operator new[](n));
    IN_ARENA(operator new(n, std::nothrow));
    IN_ARENA(operator new[](n, std::nothrow));
    IN_ARENA(operator new(n, line));
    IN_ARENA(operator new[](n, line));
    IN_ARENA(operator new(n, line, std::nothrow));
    IN_ARENA(operator new[](n, line, std::nothrow));
    IN_ARENA(valloc(n));
    IN_ARENA(pvalloc(n));
    IN_ARENA(strdup("x"));
    operator delete(operator new(n));
    operator delete(operator new(n), n);
    operator delete[](operator new[](n), n);
    operator delete(operator new(n, line), line);
    operator delete(operator new(n, line), n, line);
    operator delete[](operator new[](n, line), n, line);
    delete new std::string(n, 'x');
    bool thrown = false;
    try {
        operator delete(operator new(ARENA));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    REQUIRE(thrown, "new gave what the arena has not");
    REQUIRE(operator new(ARENA, std::nothrow) == nullptr, "nothrow new likewise");
    return 0;
}
