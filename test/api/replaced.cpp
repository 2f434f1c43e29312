// replaced: a program that replaces the plain operators new and delete with a pool of its own. The derived operators, which are
// moat's, must go through them as the standard says; a block of the pool that reached moat's free would be reported as foreign.
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "api.h"

namespace {

const std::size_t pool_size = 1 << 20;
alignas(64) char pool[pool_size];
std::size_t pool_used;
int news, deletes, aligned_news, aligned_deletes;

void *from_pool(std::size_t size, std::size_t alignment) {
    pool_used = (pool_used + alignment - 1) & ~(alignment - 1);
    if (size > pool_size - pool_used) throw std::bad_alloc{};
    void *block = pool + pool_used;
    pool_used += size;
    return block;
}

bool in_pool(const void *block) { return block >= pool && block < pool + pool_size; }

} // namespace

void *operator new(std::size_t size) {
    news++;
    return from_pool(size, 16);
}
void operator delete(void *block) noexcept {
    if (block == nullptr) return;
    REQUIRE(in_pool(block), "operator delete got %p", block);
    deletes++;
}
void *operator new(std::size_t size, std::align_val_t alignment) {
    aligned_news++;
    return from_pool(size, static_cast<std::size_t>(alignment));
}
void operator delete(void *block, std::align_val_t) noexcept {
    REQUIRE(in_pool(block), "aligned operator delete got %p", block);
    aligned_deletes++;
}

int main() {
    require_moat(20);
    const std::align_val_t a{64};
    void *volatile p;
    news = deletes = 0;
    p = ::operator new(40), ::operator delete(p, 40);
    p = ::operator new(40, std::nothrow), ::operator delete(p, std::nothrow);
    p = ::operator new[](40), ::operator delete[](p);
    p = ::operator new[](40), ::operator delete[](p, 40);
    p = ::operator new[](40, std::nothrow), ::operator delete[](p, std::nothrow);
    REQUIRE(news == 5 && deletes == 5, "%d news and %d deletes of 5 reached the program's", news, deletes);
    p = ::operator new(40, a), ::operator delete(p, 40, a);
    p = ::operator new(40, a, std::nothrow), ::operator delete(p, a, std::nothrow);
    p = ::operator new[](40, a), ::operator delete[](p, a);
    p = ::operator new[](40, a), ::operator delete[](p, 40, a);
    p = ::operator new[](40, a, std::nothrow), ::operator delete[](p, a, std::nothrow);
    REQUIRE(aligned_news == 5 && aligned_deletes == 5, "%d aligned news and %d deletes of 5", aligned_news, aligned_deletes);
    std::vector<std::string> texts(20, std::string(100, 'x')); // libstdc++'s own code comes through too
    REQUIRE(news >= 26 && in_pool(texts.data()) && in_pool(texts[3].data()), "containers: %d news", news);
    return 0;
}
