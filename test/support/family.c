/* family: see family.h. */
#include "family.h"

#include <dlfcn.h>
#include <string.h>

struct family family;

/* ISO C has no conversion from an object pointer to a function pointer; POSIX makes the copy of its
   bits good. */
static void find(void *slot, const char *name) {
    void *address = dlsym(RTLD_DEFAULT, name);
    memcpy(slot, &address, sizeof address);
}

void family_find(void) {
    find(&family.free_sized, "free_sized");
    find(&family.free_aligned_sized, "free_aligned_sized");
    find(&family.delete_sized, "_ZdlPvm");
    find(&family.delete_sized_aligned, "_ZdlPvmSt11align_val_t");
    find(&family.new_plain, "_Znwm");
    find(&family.owns, "moat_owns");
    find(&family.check, "moat_check");
    find(&family.stats_get, "moat_stats_get");
}

bool family_is_moat(void) { return family.owns != NULL; }
