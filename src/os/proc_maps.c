/*
 * proc_maps: what the kernel says is mapped where (see proc_maps.h).
 *
 * A line is "START-END PERM OFFSET MAJOR:MINOR INODE     NAME". A line that is not so is skipped.
 */
#include "os/proc_maps.h"

#include "os/os.h"

bool proc_maps_open(struct proc_maps *maps) {
    maps->fd = os_open_read("/proc/thread-self/maps");
    if (maps->fd < 0) maps->fd = os_open_read("/proc/self/maps"); /* kernels before 3.17 */
    maps->offset = 0;
    maps->next = 0;
    maps->have = 0;
    maps->skipping = false;
    return maps->fd >= 0;
}

void proc_maps_close(struct proc_maps *maps) { os_close(maps->fd); }

/* Moves the unread part to the front and reads on behind it; false when nothing was added. */
static bool fill(struct proc_maps *maps) {
    size_t left = maps->have - maps->next;
    for (size_t i = 0; i < left; i++) maps->buffer[i] = maps->buffer[maps->next + i];
    maps->next = 0;
    maps->have = left;
    size_t got =
        os_read_at(maps->fd, maps->buffer + left, sizeof maps->buffer - left, maps->offset);
    maps->offset += got;
    maps->have += got;
    return got != 0;
}

/* The next whole line without its newline, or the beginning of one that does not fit. */
static bool next_line(struct proc_maps *maps, const char **line, size_t *length) {
    size_t seen = 0;
    for (;;) {
        const char *start = maps->buffer + maps->next;
        size_t left = maps->have - maps->next;
        while (seen < left && start[seen] != '\n') seen++;
        bool ended = seen < left;
        if (ended || left == sizeof maps->buffer) {
            bool rest_of_cut_line = maps->skipping;
            maps->next += seen + (ended ? 1 : 0);
            maps->skipping = !ended;
            *line = start;
            *length = seen;
            seen = 0;
            if (!rest_of_cut_line) return true;
        } else if (!fill(maps)) {
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
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
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

bool proc_maps_next(struct proc_maps *maps, struct mapping *mapping) {
    const char *line = NULL;
    size_t length = 0;
    while (next_line(maps, &line, &length))
        if (parse(line, length, mapping)) return true;
    return false;
}
