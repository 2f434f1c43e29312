/*
 * table: see table.h.
 */
#include "meta/table.h"
#include "os/os.h"

bool table_place(struct table *table, uintptr_t start) {
    *table = (struct table){0, 0};
    if (os_reserve(ro.os_page, ro.os_page, start - ro.os_page) == NULL) return false;
    table->start = start;
    return true;
}

bool table_extend(struct table *table, size_t bytes) {
    size_t wanted = round_up(bytes, ro.os_page);
    if (wanted <= table->mapped) return true;
    void *end = (void *)(table->start + table->mapped);
    if (!os_map(end, wanted - table->mapped)) return false;
    if (ro.options.dump == DUMP_NONE) os_leave_out_of_dumps(end, wanted - table->mapped);
    table->mapped = wanted;
    return true;
}

void table_remove(struct table *table) {
    if (table->start == 0) return;
    os_unreserve((void *)(table->start - ro.os_page), ro.os_page + table->mapped);
    *table = (struct table){0, 0};
}
