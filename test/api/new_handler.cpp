// new_handler: operator new out of memory: the handler's loop, std::bad_alloc, NULL from the nothrow forms.
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/resource.h>

#include "api.h"

namespace {

const std::size_t unavailable = std::size_t{1} << 46;
const std::align_val_t line{64};
int calls;

void remove_after_three() {
    if (++calls == 3) std::set_new_handler(nullptr);
}
struct Enough {};
void throw_enough() {
    calls++;
    throw Enough{};
}
void throw_bad_alloc() {
    calls++;
    throw std::bad_alloc{};
}
void raise_limit() {
    calls++;
    rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_DATA, &limit);
}

template <typename Act> bool throws_bad_alloc(Act act) {
    try {
        void *volatile block = act();
        (void)block;
    } catch (const std::bad_alloc &error) {
        return std::strcmp(error.what(), "std::bad_alloc") == 0;
    }
    return false;
}

void *plain() { return ::operator new(unavailable); }
void *array() { return ::operator new[](unavailable); }
void *aligned() { return ::operator new(unavailable, line); }
void *aligned_array() { return ::operator new[](unavailable, line); }
void *above_ptrdiff_max() { return ::operator new (~std::size_t{0}); }
using Form = void *();
Form *const throwing[] = {plain, array, aligned, aligned_array, above_ptrdiff_max};

void *plain_nothrow() { return ::operator new(unavailable, std::nothrow); }
void *array_nothrow() { return ::operator new[](unavailable, std::nothrow); }
void *aligned_nothrow() { return ::operator new(unavailable, line, std::nothrow); }
void *aligned_array_nothrow() { return ::operator new[](unavailable, line, std::nothrow); }
Form *const nothrow[] = {plain_nothrow, array_nothrow, aligned_nothrow, aligned_array_nothrow};

void without_a_handler_new_throws_or_returns_null() {
    for (Form *form : throwing) REQUIRE(throws_bad_alloc(form), "no std::bad_alloc");
    for (Form *form : nothrow) REQUIRE(form() == nullptr, "nothrow new gave a block");
    REQUIRE(throws_bad_alloc([] { return static_cast<void *>(new char[unavailable]); }), "a new expression");
    char *volatile block = new (std::nothrow) char[unavailable]; // volatile: new and delete may be optimised away
    REQUIRE(block == nullptr, "a nothrow new expression");
}

void the_handler_is_called_until_there_is_none() {
    for (Form *form : throwing) {
        calls = 0;
        std::set_new_handler(remove_after_three);
        REQUIRE(throws_bad_alloc(form), "no std::bad_alloc");
        REQUIRE(calls == 3, "the handler ran %d times", calls);
    }
    for (Form *form : nothrow) {
        calls = 0;
        std::set_new_handler(remove_after_three);
        REQUIRE(form() == nullptr && calls == 3, "nothrow new: the handler ran %d times", calls);
    }
}

void what_a_handler_throws_comes_out() {
    std::set_new_handler(throw_enough);
    for (Form *form : throwing) {
        bool caught = false;
        calls = 0;
        try {
            form();
        } catch (const Enough &) {
            caught = true;
        }
        REQUIRE(caught && calls == 1, "the handler's exception, after %d calls", calls);
    }
    std::set_new_handler(throw_bad_alloc);
    for (Form *form : nothrow) {
        calls = 0;
        REQUIRE(form() == nullptr && calls == 1, "nothrow new with a handler that throws, after %d calls", calls);
    }
    std::set_new_handler(nullptr);
}

void impossible_alignments_throw_at_once() {
    calls = 0;
    std::set_new_handler(remove_after_three);
    static const std::size_t wrong[] = {0, 3, 48, std::size_t{1} << 31, std::size_t{1} << 63};
    for (std::size_t alignment : wrong) {
        const std::align_val_t a{alignment};
        REQUIRE(throws_bad_alloc([a] { return ::operator new(100, a); }), "alignment %zu", alignment);
        REQUIRE(throws_bad_alloc([a] { return ::operator new[](100, a); }), "alignment %zu, array", alignment);
        REQUIRE(::operator new(100, a, std::nothrow) == nullptr, "alignment %zu, nothrow", alignment);
    }
    REQUIRE(calls == 0, "the handler ran %d times for alignments that cannot be had", calls);
    std::set_new_handler(nullptr);
}

// The handler makes room, so the second try succeeds.
void a_handler_that_makes_room_is_enough(void *) {
    rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = 64 << 20;
    REQUIRE(setrlimit(RLIMIT_DATA, &limit) == 0, "setrlimit");
    REQUIRE(throws_bad_alloc([] { return ::operator new(256 << 20); }), "256 MiB under RLIMIT_DATA of 64 MiB");
    calls = 0;
    std::set_new_handler(raise_limit);
    char *block = new char[256 << 20];
    REQUIRE(calls == 1, "the handler ran %d times", calls);
    block[0] = block[(256 << 20) - 1] = 1;
    delete[] block;
    std::set_new_handler(nullptr);
}

} // namespace

int main() {
    require_moat(60);
    without_a_handler_new_throws_or_returns_null();
    the_handler_is_called_until_there_is_none();
    what_a_handler_throws_comes_out();
    impossible_alignments_throw_at_once();
    require_child_succeeds("a handler that makes room", 20, a_handler_that_makes_room_is_enough, nullptr);
    for (int i = 0; i < 1000; i++) delete new int(i); // usable afterwards
    return 0;
}
