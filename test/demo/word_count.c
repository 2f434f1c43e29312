/*
 * word_count: counts the words of files with several threads; the demonstration of scripts/run.
 *
 *   word-count [--bug] FILE...
 *
 * Readers cut the files into lines, each a block of memory, and hand them over a queue; counters
 * take them, count their words in tables of their own, and free them: every line is allocated by
 * one thread and freed by another. At the end the tables are merged. With --bug a reader frees one
 * line again that a counter has freed already. An ordinary program: it knows of no allocator but
 * malloc.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 2, COUNTERS = 4, QUEUE_LENGTH = 256, BUCKETS = 4096, BUGGY_LINE = 1000 };

struct word {
    struct word *next;
    size_t count;
    char text[];
};

struct table {
    struct word *buckets[BUCKETS];
    size_t lines, words, different;
};

/* A bounded queue; NULL marks its end. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char *lines[QUEUE_LENGTH];
    size_t first, count;
    unsigned readers_left;
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER,
           .changed = PTHREAD_COND_INITIALIZER,
           .readers_left = READERS};

static char **files;
static size_t file_count;
static atomic_size_t next_file;
static atomic_size_t lines_read;

/* --bug: the line that is freed twice, and the counter's word that it has freed it. */
static bool with_bug;
static _Atomic(char *) buggy_line;
static sem_t buggy_line_freed;

static void *need(void *block) {
    if (!block) {
        fputs("word-count: out of memory\n", stderr);
        exit(1);
    }
    return block;
}

static void put_line(char *line) {
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == QUEUE_LENGTH) pthread_cond_wait(&queue.changed, &queue.mutex);
    queue.lines[(queue.first + queue.count++) % QUEUE_LENGTH] = line;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
}

static char *take_line(void) {
    char *line = NULL;
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == 0 && queue.readers_left > 0)
        pthread_cond_wait(&queue.changed, &queue.mutex);
    if (queue.count > 0) {
        line = queue.lines[queue.first];
        queue.first = (queue.first + 1) % QUEUE_LENGTH;
        queue.count--;
        pthread_cond_broadcast(&queue.changed);
    }
    pthread_mutex_unlock(&queue.mutex);
    return line;
}

static void read_file(FILE *file) {
    char *buffer = NULL;
    size_t size = 0;
    while (getline(&buffer, &size, file) >= 0) {
        char *line = need(strdup(buffer));
        bool is_buggy = with_bug && atomic_fetch_add(&lines_read, 1) + 1 == BUGGY_LINE;
        if (is_buggy) atomic_store(&buggy_line, line);
        put_line(line);
        if (is_buggy) {
            while (sem_wait(&buggy_line_freed) != 0) {
            }
            free(line); /* the bug: a counter owned the line and has freed it */
        }
    }
    free(buffer);
}

static void *reader(void *unused) {
    (void)unused;
    size_t index;
    while ((index = atomic_fetch_add(&next_file, 1)) < file_count) {
        FILE *file = fopen(files[index], "re");
        if (!file) {
            perror(files[index]);
            exit(1);
        }
        read_file(file);
        fclose(file);
    }
    pthread_mutex_lock(&queue.mutex);
    queue.readers_left--;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
    return NULL;
}

static void count_word(struct table *table, const char *text, size_t length, size_t count) {
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    struct word **link = &table->buckets[hash % BUCKETS];
    while (*link && (strncmp((*link)->text, text, length) != 0 || (*link)->text[length] != '\0'))
        link = &(*link)->next;
    if (!*link) {
        struct word *word = need(malloc(sizeof *word + length + 1));
        *word = (struct word){0};
        memcpy(word->text, text, length);
        word->text[length] = '\0';
        *link = word;
        table->different++;
    }
    (*link)->count += count;
    table->words += count;
}

static void count_line(struct table *table, const char *line) {
    table->lines++;
    while (*line) {
        size_t length = 0;
        while (isalpha((unsigned char)line[length])) length++;
        if (length > 0) count_word(table, line, length, 1);
        line += length > 0 ? length : 1;
    }
}

static void *counter(void *unused) {
    (void)unused;
    struct table *table = need(calloc(1, sizeof *table));
    char *line;
    while ((line = take_line())) {
        bool is_buggy = line == atomic_load(&buggy_line);
        count_line(table, line);
        free(line);
        if (is_buggy) sem_post(&buggy_line_freed);
    }
    return table;
}

/* Adds part to all (which may be NULL) and frees part. */
static void merge(struct table *all, struct table *part) {
    if (all) all->lines += part->lines;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct word *word = part->buckets[i], *next; word; word = next) {
            next = word->next;
            if (all) count_word(all, word->text, strlen(word->text), word->count);
            free(word);
        }
    }
    free(part);
}

static const struct word *most_frequent(const struct table *table) {
    const struct word *best = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct word *word = table->buckets[i]; word; word = word->next) {
            bool better = !best || word->count > best->count ||
                          (word->count == best->count && strcmp(word->text, best->text) < 0);
            if (better) best = word;
        }
    }
    return best;
}

/* Where malloc comes from, as the kernel's list of mappings has it. */
static void print_allocator(void) {
    char line[4096];
    const char *path = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && !path && fgets(line, sizeof line, maps)) {
        line[strcspn(line, "\n")] = '\0';
        if (strstr(line, "/libmoat.so")) path = strchr(line, '/');
    }
    printf("memory served by %s\n", path ? path : "the C library");
    if (maps) fclose(maps);
}

int main(int argc, char **argv) {
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--bug") == 0) {
        with_bug = true;
        first = 2;
    }
    if (first >= argc) {
        fputs("Usage: word-count [--bug] FILE...\n", stderr);
        return 2;
    }
    files = argv + first;
    file_count = (size_t)(argc - first);
    sem_init(&buggy_line_freed, 0, 0);

    pthread_t readers[READERS], counters[COUNTERS];
    bool started = true;
    for (size_t i = 0; i < READERS; i++)
        started &= pthread_create(&readers[i], NULL, reader, NULL) == 0;
    for (size_t i = 0; i < COUNTERS; i++)
        started &= pthread_create(&counters[i], NULL, counter, NULL) == 0;
    if (!started) {
        fputs("word-count: cannot start threads\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    struct table *all = need(calloc(1, sizeof *all));
    for (size_t i = 0; i < COUNTERS; i++) {
        void *part;
        pthread_join(counters[i], &part);
        merge(all, part);
    }
    if (with_bug && all->lines < BUGGY_LINE) {
        fprintf(stderr, "word-count: --bug needs %d lines or more\n", BUGGY_LINE);
        return 2;
    }

    const struct word *best = most_frequent(all);
    printf("%d readers and %d counters: %zu lines, %zu words, %zu different", READERS, COUNTERS,
           all->lines, all->words, all->different);
    if (best) printf(", most often \"%s\" (%zu times)", best->text, best->count);
    putchar('\n');
    print_allocator();
    merge(NULL, all);
    return 0;
}
