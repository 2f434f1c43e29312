/*
 * mappings: see mappings.h.
 */
#include "meta/mappings.h"
#include "meta/region.h"
#include "os/os.h"

#define PUT_BY 5u /* OS pages, a mapping each */

bool mappings_are_short(void) { return atomic_load_relaxed(&ro.region->mappings_short); }

static bool take_apart(uintptr_t start) {
    return os_protect_read((void *)(start + ro.os_page), ro.os_page) &&
           os_protect_read((void *)(start + 3 * ro.os_page), ro.os_page);
}

/* Another thread may have done so meanwhile. Where there is no address space for it, that says
   nothing of mappings. */
static bool put_some_by(void) {
    uintptr_t start = (uintptr_t)os_reserve(PUT_BY * ro.os_page, ro.os_page, 0), none = 0;
    if (start == 0) return !mappings_are_short();
    bool made = take_apart(start);
    /* pairs with mappings_give_up: nothing is read there */
    if (made && atomic_cas_release(&ro.region->put_by, &none, start)) return true;
    (void)os_unreserve((void *)start, PUT_BY * ro.os_page);
    return made;
}

/* Locked memory would count what is put by. */
bool mappings_are_left(void) {
    struct region *region = ro.region;
    if (MOAT_LIKELY(atomic_load_relaxed(&region->put_by) != 0)) return true;
    if (atomic_load_relaxed(&region->memory_is_locked)) return true;
    bool left = put_some_by();
    if (left == mappings_are_short()) atomic_store_relaxed(&region->mappings_short, !left);
    return left;
}

bool mappings_give_up(void) {
    uintptr_t start = atomic_exchange_relaxed(&ro.region->put_by, (uintptr_t)0);
    return start != 0 && os_unreserve((void *)start, PUT_BY * ro.os_page);
}

void mappings_run_short(void) {
    atomic_store_relaxed(&ro.region->mappings_short, true);
    (void)mappings_give_up();
}
