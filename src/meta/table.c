/*
 * table: see table.h.
 */
#include "meta/table.h"
#include "os/os.h"

bool table_place(struct table *table, uintptr_t start) {
    *table = (struct table){0, 0, 0};
    if (os_reserve(ro.os_page, ro.os_page, start - ro.os_page) == NULL) return false;
    table->start = start;
    return true;
}

bool table_extend(struct table *table, size_t bytes) {
    size_t wanted = round_up(bytes, ro.os_page);
    if (wanted <= table->mapped) return true;
    void *end = (void *)(table->start + table->mapped);
    /* pairs with table_recover, in a forked child */
    atomic_store_release(&table->wanted, wanted);
    if (FAILPOINT(TABLE_BLOCKED) || !os_map(end, wanted - table->mapped)) return false;
    if (ro.options.dump == DUMP_NONE) os_leave_out_of_dumps(end, wanted - table->mapped);
    table->mapped = wanted;
    return true;
}

/* What can be read behind the end is what was being mapped: if something else lay there, which no
   one can tell apart, the table could not have grown in any case. */
void table_recover(struct table *table) {
    if (table->wanted <= table->mapped) return;
    uintptr_t end = table->start + table->mapped;
    if (os_can_read((const void *)end) &&
        os_can_read((const void *)(table->start + table->wanted - ro.os_page)))
        table->mapped = table->wanted;
}

void table_remove(struct table *table) {
    if (table->start == 0) return;
    os_unreserve((void *)(table->start - ro.os_page), ro.os_page + table->mapped);
    *table = (struct table){0, 0, 0};
}
