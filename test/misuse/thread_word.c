/*
 * thread_word: the word in thread-local storage by which moat knows a thread is overwritten.
 *
 * It lies where any overflow of thread-local storage may reach it, and a program can find it: it is
 * the one word of the library's storage that looks like the address of a heap.
 */
#include "scene.h"

#include "family.h"

#include <link.h>

#define OVERWRITTEN "thread word overwritten"
#define OF_ANOTHER "thread word names another thread's heap"

struct storage {
    uintptr_t *words;       /* of the calling thread */
    const uintptr_t *first; /* what they are in a new one */
    size_t count;
};

static int find_storage(struct dl_phdr_info *object, size_t size, void *argument) {
    struct storage *storage = argument;
    (void)size;
    if (object->dlpi_tls_data == NULL || strstr(object->dlpi_name, "libmoat") == NULL) return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *row = &object->dlpi_phdr[i];
        if (row->p_type != PT_TLS) continue;
        storage->words = object->dlpi_tls_data;
        storage->first = (const uintptr_t *)(object->dlpi_addr + row->p_vaddr);
        storage->count = row->p_memsz / sizeof(uintptr_t);
        return 1;
    }
    return 0;
}

/* Of a thread that has allocated. */
static uintptr_t *find_word(uintptr_t *in_a_new_thread) {
    struct storage storage = {NULL, NULL, 0};
    uintptr_t *found = NULL;
    dl_iterate_phdr(find_storage, &storage);
    for (size_t i = 0; i < storage.count; i++) {
        if (storage.words[i] == 0 || storage.words[i] % 4096 != 0) continue;
        REQUIRE(found == NULL, "one word looks like a heap");
        found = &storage.words[i];
        *in_a_new_thread = storage.first[i];
    }
    REQUIRE(found != NULL, "the thread's word is found");
    return found;
}

static struct worker one;
static void *blocks[3];

static void take_in_other_thread(void *unused) {
    static const size_t sizes[] = {SMALL, MEDIUM, LARGE};
    (void)unused;
    for (unsigned i = 0; i < 3; i++) blocks[i] = take(sizes[i]);
}

static void allocate_wrongly(size_t size, const char *what, uintptr_t word) {
    expect(what, (const void *)word);
    take(size);
    passed();
}

static void free_block_wrongly(void *block, const char *what, uintptr_t word) {
    expect(what, (const void *)word);
    free(block);
    passed();
}

/* The word of a thread that has not allocated yet can be read in the library's file. */
static void new_again(size_t size) {
    uintptr_t new = 0;
    take(SMALL);
    uintptr_t *word = find_word(&new);
    *word = new;
    allocate_wrongly(size, OVERWRITTEN, new);
}

static void letters_at_malloc(size_t size) {
    uintptr_t new = 0, letters = 0x4141414141414141;
    take(SMALL);
    *find_word(&new) = letters;
    allocate_wrongly(size, OVERWRITTEN, letters);
}

/* The mark of a thread that has ended was this once, and is random. */
static void ended_at_malloc(size_t size) {
    uintptr_t new = 0;
    take(SMALL);
    *find_word(&new) = 0x0f;
    allocate_wrongly(size, OVERWRITTEN, 0x0f);
}

/* Of a block that another thread has allocated. */
static void letters_at_free(size_t number) {
    uintptr_t new = 0, letters = 0x4141414141414000;
    take(SMALL);
    worker_start(&one);
    worker_do(&one, take_in_other_thread, NULL);
    *find_word(&new) = letters;
    free_block_wrongly(blocks[number], OVERWRITTEN, letters);
}

static void ended_at_free(size_t number) {
    uintptr_t new = 0;
    take(SMALL);
    worker_start(&one);
    worker_do(&one, take_in_other_thread, NULL);
    *find_word(&new) = 0x0f;
    free_block_wrongly(blocks[number], OVERWRITTEN, 0x0f);
}

static uintptr_t word_of_other;
static void tell_word(void *unused) {
    uintptr_t new = 0;
    (void)unused;
    word_of_other = *find_word(&new);
}

static void other_at_free(size_t number) {
    uintptr_t new = 0;
    take(SMALL);
    worker_start(&one);
    worker_do(&one, take_in_other_thread, NULL);
    worker_do(&one, tell_word, NULL);
    void *large = take(LARGE);
    *find_word(&new) = word_of_other;
    free_block_wrongly(number == 2 ? large : blocks[number], OF_ANOTHER, word_of_other);
}

static void free_some(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 10; i++) give(take(SMALL));
}

/* The strict level keeps what is freed for the thread that the word names, whosever the block is.
   The first frees of a heap look after it, which is no free's doing. */
static void other_at_strict_free(size_t number) {
    uintptr_t new = 0;
    static const size_t sizes[] = {SMALL, MEDIUM, LARGE};
    void *own[3];
    for (unsigned i = 0; i < 3; i++) own[i] = take(sizes[i]);
    worker_start(&one);
    worker_do(&one, take_in_other_thread, NULL);
    worker_do(&one, free_some, NULL);
    worker_do(&one, tell_word, NULL);
    *find_word(&new) = word_of_other;
    free_block_wrongly(number < 3 ? own[number] : blocks[number - 3], OF_ANOTHER, word_of_other);
}

#define CASE_STRICT(kind, path, play, size)                                                        \
    CASE_OPTIONS(kind, path, AT_ONCE, play, size, "level=strict")

const struct misuse_case thread_word_cases[] = {
    CASE("corrupt-metadata", "thread-word.new-again.48", AT_ONCE, new_again, SMALL),
    CASE("corrupt-metadata", "thread-word.new-again.large", AT_ONCE, new_again, LARGE),
    CASE("corrupt-metadata", "thread-word.letters-malloc.48", AT_ONCE, letters_at_malloc, SMALL),
    CASE("corrupt-metadata", "thread-word.letters-malloc.large", AT_ONCE, letters_at_malloc, LARGE),
    CASE("corrupt-metadata", "thread-word.ended-malloc.48", AT_ONCE, ended_at_malloc, SMALL),
    CASE("corrupt-metadata", "thread-word.letters-free.48", AT_ONCE, letters_at_free, 0),
    CASE("corrupt-metadata", "thread-word.letters-free.large", AT_ONCE, letters_at_free, 2),
    CASE("corrupt-metadata", "thread-word.ended-free.48", AT_ONCE, ended_at_free, 0),
    CASE("corrupt-metadata", "thread-word.ended-free.medium", AT_ONCE, ended_at_free, 1),
    CASE("corrupt-metadata", "thread-word.another-free.large", AT_ONCE, other_at_free, 2),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-own.48", other_at_strict_free, 0),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-own.medium", other_at_strict_free, 1),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-own.large", other_at_strict_free, 2),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-other.48", other_at_strict_free, 3),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-other.medium", other_at_strict_free, 4),
    CASE_STRICT("corrupt-metadata", "thread-word.strict-other.large", other_at_strict_free, 5),
    CASES_END,
};
