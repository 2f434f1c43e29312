// own_operators: at the strict level, a program and a library that has operators new and delete of its own give each other blocks,
// which is right as long as all of them stand on malloc. Families are checked until such a library is there, and not any more
// then; with "checked" as second argument the library has none, and they are. With "deep" it has those of the C++ runtime, under
// RTLD_DEEPBIND, which moat is told to leave.
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <new>

#include "api.h"

namespace {

enum { FORMS = 4, SIZE = 100 };

void *(*library_new)(unsigned form, std::size_t size);
void (*library_delete)(unsigned form, void *block, std::size_t size);

template <typename Function> void find(Function &function, void *library, const char *name) {
    void *symbol = dlsym(library, name);
    REQUIRE(symbol != nullptr, "%s", dlerror());
    std::memcpy(&function, &symbol, sizeof function);
}

void *make(unsigned form) {
    switch (form) {
    case 0: return ::operator new(SIZE);
    case 1: return ::operator new[](SIZE);
    case 2: return ::operator new(SIZE, std::align_val_t{64});
    default: return ::operator new[](SIZE, std::align_val_t{64});
    }
}

void drop(unsigned form, void *block) {
    switch (form) {
    case 0: ::operator delete(block, std::size_t{SIZE}); break;
    case 1: ::operator delete[](block); break;
    case 2: ::operator delete(block, std::size_t{SIZE}, std::align_val_t{64}); break;
    default: ::operator delete[](block, std::align_val_t{64}); break;
    }
}

void *volatile laundered;

void delete_of_malloc(void *block) {
    laundered = block;
    ::operator delete(laundered);
}
void free_of_new(void *block) {
    laundered = block;
    std::free(laundered);
}

void require_checks() {
    static const char wrong[] = "free by another family of functions than the allocation";
    void *of_malloc = std::malloc(SIZE), *of_new = make(0);
    require_report("family-mismatch", wrong, delete_of_malloc, of_malloc);
    require_report("family-mismatch", wrong, free_of_new, of_new);
    std::free(of_malloc);
    drop(0, of_new);
}

void exchange(void *) {
    for (unsigned form = 0; form < FORMS; form++) {
        drop(form, library_new(form, SIZE));
        library_delete(form, make(form), SIZE);
        library_delete(form, library_new(form, SIZE), SIZE);
        drop(form, make(form));
    }
}

} // namespace

int main(int count, char **arguments) {
    require_moat(30);
    REQUIRE(count == 2 || count == 3, "usage: own_operators LIBRARY [checked|deep]");
    bool deep = count == 3 && std::strcmp(arguments[2], "deep") == 0;
    if (!deep) require_checks();
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | (deep ? RTLD_DEEPBIND : 0));
    REQUIRE(library != nullptr, "%s", dlerror());
    find(library_new, library, "library_new");
    find(library_delete, library, "library_delete");
    require_child_succeeds("blocks that cross", 20, exchange, nullptr);
    if (count == 3 && !deep) require_checks();
    exchange(nullptr);
    return 0;
}
