/*
 * double_free: the second free of a block, by each pair of paths and for each kind of page.
 *
 * In every scene a neighbour of the block stays allocated, but for the scenes named "alone", where
 * the first free empties the page. All of these must be stopped at the second free itself.
 */
#include "scene.h"

static struct worker one, other;

/* A block with a live neighbour, and two threads that have never allocated. */
static void *prepare(size_t size) {
    worker_start(&one);
    worker_start(&other);
    take(size);
    return take(size);
}

static void local_local(size_t size) {
    void *block = prepare(size);
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

static void local_remote(size_t size) {
    void *block = prepare(size);
    give(block);
    worker_do(&one, free_again_task, block);
}

static void remote_local(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    free_wrongly(FREED_AGAIN, block);
}

static void remote_remote(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    worker_do(&one, free_again_task, block);
}

static void remote_other(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    worker_do(&other, free_again_task, block);
}

/* The owner has collected the remote free before the second one. */
static void remote_collect_local(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    malloc_trim(0);
    free_wrongly(FREED_AGAIN, block);
}

static void remote_collect_remote(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    malloc_trim(0);
    worker_do(&other, free_again_task, block);
}

static void take_task(void *slot) {
    void **blocks = slot;
    blocks[0] = take(SMALL);
    blocks[1] = take(SMALL);
}

/* The block belongs to a thread that lives and does nothing; this thread frees it twice, or after
   its owner. */
static void of_other_thread_twice(size_t size) {
    (void)size;
    void *blocks[2];
    worker_start(&one);
    worker_do(&one, take_task, blocks);
    give(blocks[0]);
    free_wrongly(FREED_AGAIN, blocks[0]);
}

static void alone_local(size_t size) {
    void *block = take(size);
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

static void alone_remote(size_t size) {
    worker_start(&one);
    void *block = take(size);
    give(block);
    worker_do(&one, free_again_task, block);
}

static void alone_remote_remote(size_t size) {
    worker_start(&one);
    void *block = take(size);
    worker_do(&one, give_task, block);
    worker_do(&one, free_again_task, block);
}

/* What stands in the freed memory must not matter: all zero, all one, or a word that looks like
   nothing. */
static void overwrite_local(size_t size, int fill) {
    void *block = prepare(size);
    size_t usable = malloc_usable_size(block);
    give(block);
    link_is_damaged();
    memset(block, fill, usable);
    free_wrongly(FREED_AGAIN, block);
}

static void overwritten_zeros(size_t size) { overwrite_local(size, 0); }
static void overwritten_ones(size_t size) { overwrite_local(size, 0xff); }
static void overwritten_letters(size_t size) { overwrite_local(size, 'A'); }

static void overwritten_remote(size_t size) {
    void *block = prepare(size);
    size_t usable = malloc_usable_size(block);
    worker_do(&one, give_task, block);
    memset(block, 'A', usable);
    worker_do(&other, free_again_task, block);
}

static void overwritten_remote_local(size_t size) {
    void *block = prepare(size);
    size_t usable = malloc_usable_size(block);
    worker_do(&one, give_task, block);
    memset(block, 0, usable);
    free_wrongly(FREED_AGAIN, block);
}

/* `size` is the alignment. */
static void *take_aligned(size_t alignment) {
    void *block = NULL;
    worker_start(&one);
    REQUIRE(posix_memalign(&block, alignment, 100) == 0, "posix_memalign(%zu, 100) works",
            alignment);
    return launder(block);
}

static void aligned_local_local(size_t alignment) {
    void *block = take_aligned(alignment);
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

static void aligned_remote_local(size_t alignment) {
    void *block = take_aligned(alignment);
    worker_do(&one, give_task, block);
    free_wrongly(FREED_AGAIN, block);
}

static void aligned_local_remote(size_t alignment) {
    void *block = take_aligned(alignment);
    give(block);
    worker_do(&one, free_again_task, block);
}

const struct misuse_case double_free_cases[] = {
    CASE("double-free", "local-local.16", AT_ONCE, local_local, SMALLEST),
    CASE("double-free", "local-local.48", AT_ONCE, local_local, SMALL),
    CASE("double-free", "local-local.4096", AT_ONCE, local_local, SMALL_PAGE),
    CASE("double-free", "local-local.medium", AT_ONCE, local_local, MEDIUM),
    CASE("double-free", "local-local.large", AT_ONCE, local_local, LARGE),
    CASE("double-free", "local-local.huge", AT_ONCE, local_local, HUGE),
    CASE("double-free", "local-local.zero-size", AT_ONCE, local_local, 0),
    CASE("double-free", "local-remote.16", AT_ONCE, local_remote, SMALLEST),
    CASE("double-free", "local-remote.48", AT_ONCE, local_remote, SMALL),
    CASE("double-free", "local-remote.4096", AT_ONCE, local_remote, SMALL_PAGE),
    CASE("double-free", "local-remote.medium", AT_ONCE, local_remote, MEDIUM),
    CASE("double-free", "local-remote.large", AT_ONCE, local_remote, LARGE),
    CASE("double-free", "local-remote.huge", AT_ONCE, local_remote, HUGE),
    CASE("double-free", "local-remote.zero-size", AT_ONCE, local_remote, 0),
    CASE("double-free", "remote-local.16", AT_ONCE, remote_local, SMALLEST),
    CASE("double-free", "remote-local.48", AT_ONCE, remote_local, SMALL),
    CASE("double-free", "remote-local.4096", AT_ONCE, remote_local, SMALL_PAGE),
    CASE("double-free", "remote-local.medium", AT_ONCE, remote_local, MEDIUM),
    CASE("double-free", "remote-local.large", AT_ONCE, remote_local, LARGE),
    CASE("double-free", "remote-local.huge", AT_ONCE, remote_local, HUGE),
    CASE("double-free", "remote-local.zero-size", AT_ONCE, remote_local, 0),
    CASE("double-free", "remote-remote.16", AT_ONCE, remote_remote, SMALLEST),
    CASE("double-free", "remote-remote.48", AT_ONCE, remote_remote, SMALL),
    CASE("double-free", "remote-remote.4096", AT_ONCE, remote_remote, SMALL_PAGE),
    CASE("double-free", "remote-remote.medium", AT_ONCE, remote_remote, MEDIUM),
    CASE("double-free", "remote-remote.large", AT_ONCE, remote_remote, LARGE),
    CASE("double-free", "remote-remote.huge", AT_ONCE, remote_remote, HUGE),
    CASE("double-free", "remote-other.48", AT_ONCE, remote_other, SMALL),
    CASE("double-free", "remote-other.4096", AT_ONCE, remote_other, SMALL_PAGE),
    CASE("double-free", "remote-other.medium", AT_ONCE, remote_other, MEDIUM),
    CASE("double-free", "remote-other.large", AT_ONCE, remote_other, LARGE),
    CASE("double-free", "remote-other.huge", AT_ONCE, remote_other, HUGE),
    CASE("double-free", "remote-other.zero-size", AT_ONCE, remote_other, 0),
    CASE("double-free", "remote-collect-local.48", AT_ONCE, remote_collect_local, SMALL),
    CASE("double-free", "remote-collect-local.4096", AT_ONCE, remote_collect_local, SMALL_PAGE),
    CASE("double-free", "remote-collect-local.large", AT_ONCE, remote_collect_local, LARGE),
    CASE("double-free", "remote-collect-remote.48", AT_ONCE, remote_collect_remote, SMALL),
    CASE("double-free", "remote-collect-remote.4096", AT_ONCE, remote_collect_remote, SMALL_PAGE),
    CASE("double-free", "of-other-thread-twice.48", AT_ONCE, of_other_thread_twice, SMALL),
    CASE("double-free", "alone-local.48", AT_ONCE, alone_local, SMALL),
    CASE("double-free", "alone-local.4096", AT_ONCE, alone_local, SMALL_PAGE),
    CASE("double-free", "alone-local.medium", AT_ONCE, alone_local, MEDIUM),
    CASE("double-free", "alone-local.large", AT_ONCE, alone_local, LARGE),
    CASE("double-free", "alone-remote.48", AT_ONCE, alone_remote, SMALL),
    CASE("double-free", "alone-remote.large", AT_ONCE, alone_remote, LARGE),
    CASE("double-free", "alone-remote-remote.48", AT_ONCE, alone_remote_remote, SMALL),
    CASE("double-free", "alone-remote-remote.large", AT_ONCE, alone_remote_remote, LARGE),
    CASE("double-free", "overwritten-zeros.48", AT_ONCE, overwritten_zeros, SMALL),
    CASE("double-free", "overwritten-zeros.4096", AT_ONCE, overwritten_zeros, SMALL_PAGE),
    CASE("double-free", "overwritten-ones.48", AT_ONCE, overwritten_ones, SMALL),
    CASE("double-free", "overwritten-ones.4096", AT_ONCE, overwritten_ones, SMALL_PAGE),
    CASE("double-free", "overwritten-letters.16", AT_ONCE, overwritten_letters, SMALLEST),
    CASE("double-free", "overwritten-letters.48", AT_ONCE, overwritten_letters, SMALL),
    CASE("double-free", "overwritten-letters.medium", AT_ONCE, overwritten_letters, MEDIUM),
    CASE("double-free", "overwritten-letters.large", AT_ONCE, overwritten_letters, LARGE),
    CASE("double-free", "overwritten-remote.48", AT_ONCE, overwritten_remote, SMALL),
    CASE("double-free", "overwritten-remote.4096", AT_ONCE, overwritten_remote, SMALL_PAGE),
    CASE("double-free", "overwritten-remote-local.48", AT_ONCE, overwritten_remote_local, SMALL),
    CASE("double-free", "overwritten-remote-local.large", AT_ONCE, overwritten_remote_local, LARGE),
    CASE("double-free", "aligned-local-local.64", AT_ONCE, aligned_local_local, 64),
    CASE("double-free", "aligned-local-local.4096", AT_ONCE, aligned_local_local, 4096),
    CASE("double-free", "aligned-local-local.64k", AT_ONCE, aligned_local_local, 65536),
    CASE("double-free", "aligned-local-local.1m", AT_ONCE, aligned_local_local, (size_t)1 << 20),
    CASE("double-free", "aligned-local-local.8m", AT_ONCE, aligned_local_local, (size_t)8 << 20),
    CASE("double-free", "aligned-remote-local.64", AT_ONCE, aligned_remote_local, 64),
    CASE("double-free", "aligned-remote-local.4096", AT_ONCE, aligned_remote_local, 4096),
    CASE("double-free", "aligned-remote-local.8m", AT_ONCE, aligned_remote_local, (size_t)8 << 20),
    CASE("double-free", "aligned-local-remote.64", AT_ONCE, aligned_local_remote, 64),
    CASE("double-free", "aligned-local-remote.4096", AT_ONCE, aligned_local_remote, 4096),
    CASE("double-free", "aligned-local-remote.8m", AT_ONCE, aligned_local_remote, (size_t)8 << 20),
    CASES_END,
};
