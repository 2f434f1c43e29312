/*
 * mappings: what the kernel says is mapped where (see mappings.h).
 *
 * A line is "START-END PERM OFFSET MAJOR:MINOR INODE     NAME". A line that is not so is skipped.
 */
#include "os/mappings.h"

#include "os/os.h"

bool mappings_open(struct mappings *mappings) {
    mappings->fd = os_open_read("/proc/thread-self/maps");
    if (mappings->fd < 0) mappings->fd = os_open_read("/proc/self/maps"); /* kernels before 3.17 */
    mappings->offset = 0;
    mappings->next = 0;
    mappings->have = 0;
    mappings->skipping = false;
    return mappings->fd >= 0;
}

void mappings_close(struct mappings *mappings) { os_close(mappings->fd); }

/* Moves the unread part to the front and reads on behind it; false when nothing was added. */
static bool fill(struct mappings *mappings) {
    size_t left = mappings->have - mappings->next;
    for (size_t i = 0; i < left; i++) mappings->buffer[i] = mappings->buffer[mappings->next + i];
    mappings->next = 0;
    mappings->have = left;
    size_t got = os_read_at(mappings->fd, mappings->buffer + left, sizeof mappings->buffer - left, mappings->offset);
    mappings->offset += got;
    mappings->have += got;
    return got != 0;
}

/* The next whole line without its newline, or the beginning of one that does not fit. */
static bool next_line(struct mappings *mappings, const char **line, size_t *length) {
    size_t seen = 0;
    for (;;) {
        const char *start = mappings->buffer + mappings->next;
        size_t left = mappings->have - mappings->next;
        while (seen < left && start[seen] != '\n') seen++;
        bool ended = seen < left;
        if (ended || left == sizeof mappings->buffer) {
            bool rest_of_cut_line = mappings->skipping;
            mappings->next += seen + (ended ? 1 : 0);
            mappings->skipping = !ended;
            *line = start;
            *length = seen;
            seen = 0;
            if (!rest_of_cut_line) return true;
        } else if (!fill(mappings)) {
            return false;
        }
    }
}

struct cursor {
    const char *at, *end;
    bool failed;
};

static uint64_t number(struct cursor *cursor, unsigned base) {
    uint64_t value = 0;
    const char *start = cursor->at;
    for (; cursor->at < cursor->end; cursor->at++) {
        char c = *cursor->at;
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (digit >= base) break;
        value = value * base + digit;
    }
    cursor->failed |= cursor->at == start;
    return value;
}

static void expect(struct cursor *cursor, char wanted) {
    if (cursor->at < cursor->end && *cursor->at == wanted)
        cursor->at++;
    else
        cursor->failed = true;
}

static bool parse(const char *line, size_t length, struct mapping *mapping) {
    struct cursor cursor = {.at = line, .end = line + length, .failed = false};
    mapping->start = number(&cursor, 16);
    expect(&cursor, '-');
    mapping->end = number(&cursor, 16);
    expect(&cursor, ' ');
    if (cursor.end - cursor.at < 4) return false;
    for (unsigned i = 0; i < 4; i++) mapping->permissions[i] = *cursor.at++;
    expect(&cursor, ' ');
    mapping->offset = number(&cursor, 16);
    expect(&cursor, ' ');
    mapping->device = number(&cursor, 16) << 32;
    expect(&cursor, ':');
    mapping->device |= number(&cursor, 16);
    expect(&cursor, ' ');
    mapping->inode = number(&cursor, 10);
    while (cursor.at < cursor.end && *cursor.at == ' ') cursor.at++;
    mapping->name = cursor.at;
    mapping->name_length = (size_t)(cursor.end - cursor.at);
    return !cursor.failed;
}

bool mappings_next(struct mappings *mappings, struct mapping *mapping) {
    const char *line = NULL;
    size_t length = 0;
    while (next_line(mappings, &line, &length))
        if (parse(line, length, mapping)) return true;
    return false;
}
