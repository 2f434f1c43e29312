// static_exceptions: a fully static C++ program with moat.o; operator new out of memory throws.
#include <cstdio>
#include <new>
#include <string>
#include <unistd.h>

#include "moat.h"

namespace {
int handler_calls;
void give_up() {
    handler_calls++;
    std::set_new_handler(nullptr);
}
} // namespace

int main() {
    alarm(20);
    volatile std::size_t unavailable = std::size_t{1} << 46;
    bool caught = false;
    std::set_new_handler(give_up);
    try {
        void *volatile block = ::operator new(unavailable);
        (void)block;
    } catch (...) {
        caught = true;
    }
    bool null = ::operator new(unavailable, std::nothrow) == nullptr;
    std::string text(100, 'x');
    bool right = caught && null && handler_calls == 1 && moat_owns(text.data());
    std::puts(right ? "fine" : "failed");
    return right ? 0 : 1;
}
