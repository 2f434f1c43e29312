// own_operators_data: at the strict level, the search for modules with operators of their own reads no file that only holds data:
// another thread may unmap it just now, or the file end, and what is mapped may be no memory.
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"

namespace {

enum { SIZE = 100 };

void *volatile laundered;

// A page of a file is resident from the first read on.
bool is_resident(void *page) {
    unsigned char state = 0;
    REQUIRE(mincore(page, 1, &state) == 0, "mincore");
    return (state & 1) != 0;
}

void look(void *) {
    char path[] = "/tmp/moat-own-operators-XXXXXX";
    int data = mkstemp(path);
    std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    REQUIRE(data >= 0 && unlink(path) == 0 && ftruncate(data, static_cast<off_t>(page)) == 0, "a file of data");
    void *mapped = mmap(nullptr, page, PROT_READ, MAP_SHARED, data, 0);
    REQUIRE(mapped != MAP_FAILED && !is_resident(mapped), "it is mapped, and nobody has read it");
    laundered = std::malloc(SIZE);
    ::operator delete(laundered);
    REQUIRE(!is_resident(mapped), "nobody has read it since");
    laundered = mapped;
    REQUIRE(*static_cast<volatile char *>(laundered) == 0 && is_resident(mapped), "who reads it is seen");
}

} // namespace

int main() {
    require_moat(20);
    static char text[65536];
    int status = run_child(10, look, nullptr, text, sizeof text);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x; stderr: %s", static_cast<unsigned>(status), text);
    REQUIRE(std::strstr(text, "family-mismatch") != nullptr, "families are checked; stderr: \"%s\"", text);
    return 0;
}
