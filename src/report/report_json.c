/*
 * report_json: a report as one line of JSON (see report_json.h).
 *
 * Members that are not known are left out, so each one but the first is written with the comma
 * before it.
 */
#include "report/report_json.h"

#include "report/trace.h"
#include "report/who.h"
#include "os/os.h"

/* What follows the last frame. */
#define TAIL 48u

static void character(struct format *json, char c) {
    if (c == '"' || c == '\\') format_string(json, "\\");
    format_foreign(json, &c, 1);
}

static void string(struct format *json, const char *bytes, size_t count) {
    format_string(json, "\"");
    for (size_t i = 0; i < count; i++) character(json, bytes[i]);
    format_string(json, "\"");
}

static void name_member(struct format *json, const char *name) {
    format_string(json, ",\"");
    format_string(json, name);
    format_string(json, "\":");
}

static void text_member(struct format *json, const char *name, const char *text) {
    if (text == NULL) return;
    name_member(json, name);
    format_string(json, "\"");
    while (*text != '\0') character(json, *text++);
    format_string(json, "\"");
}

static void number_member(struct format *json, const char *name, uint64_t number) {
    name_member(json, name);
    format_decimal(json, number);
}

/* "0x…", for readers whose numbers are not as wide. */
static void address_member(struct format *json, const char *name, uintptr_t address) {
    name_member(json, name);
    format_string(json, "\"");
    format_hex(json, address);
    format_string(json, "\"");
}

/* The first member of an object, which has no comma. */
static void open_object(struct format *json, const char *name, uintptr_t address) {
    name_member(json, name);
    format_string(json, "{\"address\":\"");
    format_hex(json, address);
    format_string(json, "\"");
}

static void who_members(struct format *json) {
    char name[WHO_NAME];
    number_member(json, "process", os_process_id());
    number_member(json, "thread", os_thread_id());
    size_t length = who_program_name(name);
    if (length != 0) {
        name_member(json, "program");
        string(json, name, length);
    }
    length = who_thread_name(name);
    if (length != 0) {
        name_member(json, "thread_name");
        string(json, name, length);
    }
}

static void neighbour_member(struct format *json, const char *name,
                             const struct report_neighbour *neighbour) {
    if (neighbour->state == NULL) return;
    open_object(json, name, neighbour->start);
    text_member(json, "state", neighbour->state);
    format_string(json, "}");
}

static void page_members(struct format *json, const struct report_facts *facts) {
    if (facts->page_start != 0) {
        open_object(json, "page", facts->page_start);
        if (facts->page_size != 0) number_member(json, "size", facts->page_size);
        text_member(json, "kind", facts->page_kind);
        format_string(json, "}");
    }
    if (facts->segment_start == 0) return;
    open_object(json, "segment", facts->segment_start);
    text_member(json, "owner", facts->segment_owner);
    if (facts->owner_thread != 0) number_member(json, "owner_thread", facts->owner_thread);
    if (facts->owner_name[0] != '\0') text_member(json, "owner_name", facts->owner_name);
    format_string(json, "}");
}

static void fact_members(struct format *json, enum report_kind kind,
                         const struct report_facts *facts) {
    if (kind == REPORT_SIZE_MISMATCH || kind == REPORT_ALIGNMENT_MISMATCH) {
        number_member(json, "given", facts->size_given);
        number_member(json, "expected", facts->size_expected);
    }
    text_member(json, "allocated_by", facts->made_by);
    text_member(json, "freed_by", facts->freed_by);
    if (facts->written != 0) address_member(json, "written", facts->written);
    if (facts->access != ACCESS_UNKNOWN)
        text_member(json, "access", facts->access == ACCESS_WRITE ? "write" : "read");
    if (facts->block_start != 0) {
        open_object(json, "block", facts->block_start);
        number_member(json, "size", facts->block_size);
        text_member(json, "state", facts->block_state);
        if (facts->asked_for != 0) number_member(json, "asked_for", facts->asked_for);
        text_member(json, "asked_by", facts->asked_by);
        format_string(json, "}");
    }
    neighbour_member(json, "before", &facts->before);
    neighbour_member(json, "behind", &facts->behind);
    page_members(json, facts);
    if (facts->nearest_start == 0) return;
    open_object(json, "nearest", facts->nearest_start);
    number_member(json, "size", facts->nearest_size);
    format_string(json, "}");
}

/* Of an address that is no block's; the mapping's name goes through the workspace. */
static void place_member(struct format *json, const struct report_content *content,
                         struct backtrace_workspace *workspace) {
    const struct report_facts *facts = content->facts;
    if (facts != NULL && facts->place != NULL) {
        text_member(json, "place", facts->place);
        return;
    }
    if (content->address == 0 || report_facts_are_of_heap(facts)) return;
    struct format place = format_in(workspace->line, sizeof workspace->line);
    module_describe_address(&workspace->modules, content->address, &place);
    name_member(json, "place");
    string(json, place.text, place.length);
}

static void frame_object(struct format *json, struct backtrace_workspace *workspace,
                         uintptr_t address) {
    const struct module *module = module_find(&workspace->modules, address);
    struct symbol *symbol = &workspace->symbol;
    format_string(json, "{\"offset\":\"");
    format_hex(json, address - (module != NULL ? module->bias : 0));
    format_string(json, "\"");
    if (module != NULL && module->path_length != 0 && !module->path_is_cut) {
        name_member(json, "module");
        string(json, module->path, module->path_length);
    }
    if (module != NULL && module->build_id_size != 0) {
        name_member(json, "build_id");
        format_string(json, "\"");
        format_hex_bytes(json, module->build_id, module->build_id_size);
        format_string(json, "\"");
    }
    if (module != NULL && symbol_find(&workspace->modules.peek, module, address, symbol)) {
        name_member(json, "function");
        string(json, symbol->name, symbol->name_length);
        number_member(json, "into", address - symbol->start);
    }
    format_string(json, "}");
}

/* Frames that fit; the rest is counted. */
static void frames_member(struct format *json, const char *name, const uintptr_t *frames,
                          unsigned count, struct backtrace_workspace *workspace) {
    unsigned shown = 0;
    name_member(json, name);
    format_string(json, "[");
    for (; shown < count; shown++) {
        size_t before = json->length;
        if (shown != 0) format_string(json, ",");
        frame_object(json, workspace, frames[shown]);
        if (json->capacity - json->length >= TAIL) continue;
        json->length = before;
        break;
    }
    format_string(json, "]");
    number_member(json, "omitted", count - shown);
}

/* What was kept of a sample, if there is room for it. */
static void trace_member(struct format *json, const char *name, const struct trace *trace,
                         struct backtrace_workspace *workspace) {
    if (trace == NULL || json->capacity - json->length < 4 * TAIL) return;
    unsigned count = trace->count < TRACE_DEPTH ? trace->count : TRACE_DEPTH;
    name_member(json, name);
    format_string(json, "{\"thread\":");
    format_decimal(json, trace->thread);
    frames_member(json, "stack", trace->frames, count, workspace);
    format_string(json, "}");
}

static void stack_member(struct format *json, const struct backtrace *stack,
                         struct backtrace_workspace *workspace) {
    frames_member(json, "stack", stack->frames, stack->count, workspace);
}

void report_json(struct format *json, const struct report_content *content,
                 struct backtrace_workspace *workspace) {
    const char *kind = report_kind_name(content->kind);
    format_string(json, "{\"version\":");
    format_decimal(json, REPORT_JSON_VERSION);
    text_member(json, "kind", kind);
    text_member(json, "what", content->what);
    address_member(json, "address", content->address);
    name_member(json, "ends");
    format_string(json, content->ends ? "true" : "false");
    who_members(json);
    if (content->facts != NULL) fact_members(json, content->kind, content->facts);
    place_member(json, content, workspace);
    stack_member(json, content->stack, workspace);
    if (content->facts != NULL) {
        trace_member(json, "allocation", content->facts->allocated, workspace);
        trace_member(json, "free", content->facts->freed, workspace);
    }
    format_string(json, "}");
    format_end_line(json);
}
