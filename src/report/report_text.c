/*
 * report_text: the lines of a report that need nothing but what the caller knows (see
 * report_text.h).
 */
#include "report/report_text.h"

#include "os/os.h"

static const char *const kind_names[REPORT_KINDS] = {
#define KIND(id, name, after) [REPORT_##id] = name,
#include "report/kinds.def"
};

const char *report_kind_name(enum report_kind kind) {
    return (unsigned)kind < REPORT_KINDS ? kind_names[kind] : "unknown";
}

void report_format_first(struct format *text, const char *word, enum report_kind kind,
                         const char *what, uintptr_t address) {
    format_string(text, "moat: ");
    format_string(text, word);
    format_string(text, ": ");
    format_string(text, report_kind_name(kind));
    format_string(text, ": ");
    format_string(text, what);
    format_string(text, " at ");
    format_hex(text, address);
    format_end_line(text);
}

static void format_bytes(struct format *text, size_t bytes) {
    format_decimal(text, bytes);
    format_string(text, bytes == 1 ? " byte" : " bytes");
}

static void format_block(struct format *text, const struct report_facts *facts) {
    const char *separator = ", state: ";
    if (facts->block_start == 0 && facts->block_size == 0 && facts->block_state == NULL) return;
    format_string(text, "moat: block");
    if (facts->block_start != 0) {
        format_string(text, " ");
        format_hex(text, facts->block_start);
    }
    if (facts->block_size != 0) {
        format_string(text, " of ");
        format_bytes(text, facts->block_size);
    }
    if (facts->block_state != NULL) {
        format_string(text, separator);
        format_string(text, facts->block_state);
    }
    format_end_line(text);
}

static void format_asked(struct format *text, const struct report_facts *facts) {
    if (facts->asked_for == 0) return;
    format_string(text, "moat: of it ");
    format_bytes(text, facts->asked_for);
    format_string(text, facts->asked_for == 1 ? " was asked for" : " were asked for");
    if (facts->asked_by != NULL) {
        format_string(text, " by ");
        format_string(text, facts->asked_by);
    }
    format_end_line(text);
}

static void format_page(struct format *text, const struct report_facts *facts) {
    const char *separator = " (";
    if (facts->page_start == 0 && facts->segment_start == 0) return;
    format_string(text, "moat: ");
    if (facts->page_start != 0) {
        format_string(text, "page ");
        format_hex(text, facts->page_start);
        if (facts->page_kind != NULL) {
            format_string(text, separator);
            format_string(text, facts->page_kind);
            separator = ", ";
        }
        if (facts->page_size != 0) {
            format_string(text, separator);
            format_size(text, facts->page_size);
        }
        if (facts->page_kind != NULL || facts->page_size != 0) format_string(text, ")");
        if (facts->segment_start != 0) format_string(text, " in ");
    }
    if (facts->segment_start != 0) {
        format_string(text, "segment ");
        format_hex(text, facts->segment_start);
    }
    if (facts->segment_owner != NULL) {
        format_string(text, ", owner: ");
        format_string(text, facts->segment_owner);
    }
    if (facts->owner_thread != 0) {
        format_string(text, " (");
        format_decimal(text, facts->owner_thread);
        if (facts->owner_name[0] != '\0') format_string(text, ", ");
        for (const char *c = facts->owner_name; *c != '\0'; c++) format_foreign(text, c, 1);
        format_string(text, ")");
    }
    format_end_line(text);
}

static void format_neighbour(struct format *text, const char *where,
                             const struct report_neighbour *neighbour) {
    if (neighbour->state == NULL) return;
    format_string(text, where);
    format_hex(text, neighbour->start);
    format_string(text, ", ");
    format_string(text, neighbour->state);
    format_end_line(text);
}

/* Of an address that is no block's. */
static void format_nearest(struct format *text, uintptr_t address,
                           const struct report_facts *facts) {
    uintptr_t start = facts->nearest_start, end = start + facts->nearest_size;
    if (start == 0) return;
    format_string(text, "moat: the nearest block in use is ");
    format_hex(text, start);
    format_string(text, " of ");
    format_bytes(text, facts->nearest_size);
    format_string(text, start > address ? ", and begins " : ", and ends ");
    format_bytes(text, start > address ? start - address : address - end);
    format_string(text, start > address ? " behind the address" : " before the address");
    format_end_line(text);
}

/* 0 is a value here: free_sized(p, 0) is a wrong size too. */
static void format_given(struct format *text, enum report_kind kind,
                         const struct report_facts *facts) {
    if (kind != REPORT_SIZE_MISMATCH && kind != REPORT_ALIGNMENT_MISMATCH) return;
    format_string(text,
                  kind == REPORT_SIZE_MISMATCH ? "moat: size given: " : "moat: alignment given: ");
    format_decimal(text, facts->size_given);
    if (facts->size_expected != 0) {
        format_string(text, ", expected: ");
        format_decimal(text, facts->size_expected);
    }
    format_end_line(text);
}

/* What was written, and how far behind the block's end or into it. An overflow begins where that
   ends which was asked for. */
static void format_written(struct format *text, enum report_kind kind,
                           const struct report_facts *facts) {
    bool is_known = kind == REPORT_OVERFLOW && facts->asked_for != 0;
    uintptr_t start = facts->block_start, written = facts->written;
    uintptr_t end = start + (is_known ? facts->asked_for : facts->block_size);
    if (written == 0) return;
    format_string(text, "moat: the first byte written is ");
    format_hex(text, written);
    format_string(text, ", ");
    format_bytes(text, written < start ? start - written : written - (written < end ? start : end));
    format_string(text, written < start ? " before the block"
                        : written < end ? " into the block"
                                        : " behind its end");
    format_end_line(text);
}

/* Where the access was, from the block that is nearest. */
static void format_access(struct format *text, uintptr_t address,
                          const struct report_facts *facts) {
    static const char *const accesses[] = {"access", "read", "write"};
    uintptr_t start = facts->block_start, end = start + facts->block_size;
    format_string(text, "moat: the ");
    format_string(text, accesses[facts->access]);
    format_string(text, " is ");
    format_bytes(text, address < start ? start - address : address - (address < end ? start : end));
    format_string(text, address < start ? " before the block"
                        : address < end ? " into the block"
                                        : " behind its end");
    format_end_line(text);
}

static void format_families(struct format *text, const struct report_facts *facts) {
    if (facts->made_by == NULL) return;
    format_string(text, "moat: allocated by ");
    format_string(text, facts->made_by);
    format_string(text, ", freed by ");
    format_string(text, facts->freed_by);
    format_end_line(text);
}

void report_format_facts(struct format *text, enum report_kind kind, uintptr_t address,
                         const struct report_facts *facts) {
    if (facts != NULL) {
        format_given(text, kind, facts);
        format_families(text, facts);
        format_block(text, facts);
        format_asked(text, facts);
        format_written(text, kind, facts);
        if (kind == REPORT_GUARD_HIT) format_access(text, address, facts);
        format_neighbour(text, "moat: before it: ", &facts->before);
        format_neighbour(text, "moat: behind it: ", &facts->behind);
        format_page(text, facts);
        format_nearest(text, address, facts);
    }
    format_string(text, "moat: thread ");
    format_decimal(text, os_thread_id());
    format_string(text, " of process ");
    format_decimal(text, os_process_id());
    format_end_line(text);
}
