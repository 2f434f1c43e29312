// throw_plugin: a C++ library that a C program loads by dlopen(). Runs out of memory in each form of new and catches.
#include <new>

namespace {

const std::size_t unavailable = std::size_t{1} << 46;
int handler_calls;

void count_and_give_up() {
    handler_calls++;
    std::set_new_handler(nullptr);
}

bool caught(void *(*act)()) {
    try {
        void *volatile block = act();
        (void)block;
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

} // namespace

extern "C" int plugin_run();

// 0, or the number of the first step that failed.
extern "C" int plugin_run() {
    if (!caught([] { return ::operator new(unavailable); })) return 1;
    if (!caught([] { return ::operator new[](unavailable); })) return 2;
    if (!caught([] { return ::operator new (unavailable, std::align_val_t{64}); })) return 3;
    if (::operator new(unavailable, std::nothrow) != nullptr) return 4;
    std::set_new_handler(count_and_give_up);
    if (!caught([] { return ::operator new(unavailable); }) || handler_calls != 1) return 5;
    std::set_new_handler(count_and_give_up);
    if (::operator new(unavailable, std::nothrow) != nullptr || handler_calls != 2) return 6;
    delete new int;
    return 0;
}
