// static_exceptions: a fully static C++ program with moat.o; operator new out of memory throws. It uses so little of the C++
// library that only moat's own link options bring in what throws.
#include <cstdio>
#include <new>
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
    int *number = new int(5);
    bool right = caught && null && handler_calls == 1 && moat_owns(number);
    delete number;
    std::puts(right ? "fine" : "failed");
    return right ? 0 : 1;
}
