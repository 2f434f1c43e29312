// operators: all twenty operators new and delete are moat's and fit each other; sized and aligned deletes are checked.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "api.h"

namespace {

const std::size_t sizes[] = {0, 1, 16, 24, 100, 1000, 5000, 70000, 1500000, 6000000};
const std::size_t alignments[] = {1, 16, 32, 64, 256, 4096, 65536, 2u << 20};

void *checked(void *block, std::size_t size, std::size_t alignment) {
    REQUIRE(block != nullptr && family.owns(block), "new of %zu is not moat's", size);
    REQUIRE(reinterpret_cast<std::uintptr_t>(block) % alignment == 0, "new of %zu at %zu gave %p", size, alignment, block);
    std::memset(block, 0x11, size);
    return block;
}

void every_new_with_every_delete_that_may_follow_it() {
    for (std::size_t n : sizes) {
        void *volatile p;
        p = checked(::operator new(n), n, 16), ::operator delete(p);
        p = checked(::operator new(n), n, 16), ::operator delete(p, n);
        p = checked(::operator new(n), n, 16), ::operator delete(p, std::nothrow);
        p = checked(::operator new(n, std::nothrow), n, 16), ::operator delete(p, std::nothrow);
        p = checked(::operator new(n, std::nothrow), n, 16), ::operator delete(p, n);
        p = checked(::operator new[](n), n, 16), ::operator delete[](p);
        p = checked(::operator new[](n), n, 16), ::operator delete[](p, n);
        p = checked(::operator new[](n), n, 16), ::operator delete[](p, std::nothrow);
        p = checked(::operator new[](n, std::nothrow), n, 16), ::operator delete[](p, std::nothrow);
        for (std::size_t align : alignments) {
            const std::align_val_t a{align};
            p = checked(::operator new(n, a), n, align), ::operator delete(p, a);
            p = checked(::operator new(n, a), n, align), ::operator delete(p, n, a);
            p = checked(::operator new(n, a), n, align), ::operator delete(p, a, std::nothrow);
            p = checked(::operator new(n, a, std::nothrow), n, align), ::operator delete(p, a, std::nothrow);
            p = checked(::operator new[](n, a), n, align), ::operator delete[](p, a);
            p = checked(::operator new[](n, a), n, align), ::operator delete[](p, n, a);
            p = checked(::operator new[](n, a), n, align), ::operator delete[](p, a, std::nothrow);
            p = checked(::operator new[](n, a, std::nothrow), n, align), ::operator delete[](p, a, std::nothrow);
        }
    }
}

void every_delete_takes_null() {
    void *volatile p = nullptr;
    const std::align_val_t a{64};
    ::operator delete(p), ::operator delete[](p), ::operator delete(p, std::nothrow), ::operator delete[](p, std::nothrow);
    ::operator delete(p, 10), ::operator delete[](p, 10), ::operator delete(p, a), ::operator delete[](p, a);
    ::operator delete(p, a, std::nothrow), ::operator delete[](p, a, std::nothrow);
    ::operator delete(p, 10, a), ::operator delete[](p, 10, a);
}

struct alignas(128) Wide {
    char bytes[200];
};
struct Derived : std::string {
    int extra[10];
    virtual ~Derived() = default;
};

void expressions_and_containers_work() {
    std::unique_ptr<Wide> wide(new Wide);
    REQUIRE(reinterpret_cast<std::uintptr_t>(wide.get()) % 128 == 0, "new of an over-aligned type");
    std::unique_ptr<Wide[]> wides(new Wide[7]);
    REQUIRE(reinterpret_cast<std::uintptr_t>(wides.get()) % 128 == 0, "new[] of an over-aligned type");
    std::unique_ptr<Derived> derived(new Derived);
    std::unique_ptr<std::string[]> strings(new std::string[33]);
    std::vector<std::string> many;
    for (int i = 0; i < 10000; i++) many.push_back(std::string(static_cast<std::size_t>(i % 300), 'x'));
    std::size_t sum = 0;
    for (const std::string &text : many) sum += text.size();
    REQUIRE(sum == 1485000, "10000 strings hold %zu characters", sum);
}

void wrong_size(void *) { ::operator delete(launder(::operator new(48)), 4800); }
void wrong_size_array(void *) { ::operator delete[](launder(::operator new[](48)), 4800); }
void wrong_size_aligned(void *) {
    ::operator delete (launder(::operator new (64, std::align_val_t{64})), 64000, std::align_val_t{64});
}
void wrong_alignment(void *) {
    ::operator delete (launder(::operator new (64, std::align_val_t{64})), 64, std::align_val_t{4096});
}
void delete_twice(void *) {
    void *volatile p = ::operator new(48);
    ::operator delete(p);
    ::operator delete(p, 48);
}

} // namespace

int main() {
    require_moat(60);
    every_new_with_every_delete_that_may_follow_it();
    every_delete_takes_null();
    expressions_and_containers_work();
    require_report("size-mismatch", "sized free with the wrong size", wrong_size, nullptr);
    require_report("size-mismatch", "sized free with the wrong size", wrong_size_array, nullptr);
    require_report("size-mismatch", "sized free with the wrong size", wrong_size_aligned, nullptr);
    require_report("alignment-mismatch", "aligned free with the wrong alignment", wrong_alignment, nullptr);
    char text[16384];
    int status = run_child(10, delete_twice, nullptr, text, sizeof text);
    REQUIRE(status != 0 && std::strncmp(text, "moat: fatal: double-free: ", 26) == 0, "a second delete: %.100s", text);
    return 0;
}
