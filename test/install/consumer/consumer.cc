// A C++ program of somebody else's: new, the containers and exceptions come from moat, and so does bad_alloc.
#include <moat.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static void need(bool condition, const char *what) {
    if (condition) return;
    std::fprintf(stderr, "consumer: failed: %s\n", what);
    std::exit(1);
}

struct alignas(256) Aligned {
    char text[256];
};

int main() {
    auto number = std::make_unique<int>(7);
    need(moat_owns(number.get()), "operator new is moat");
    auto aligned = std::make_unique<Aligned>();
    need(moat_owns(aligned.get()) && reinterpret_cast<std::uintptr_t>(aligned.get()) % 256 == 0, "aligned new is moat");

    std::map<std::string, std::vector<int>> map;
    std::thread thread([&map] {
        for (int i = 0; i < 1000; i++) map["a key that is longer than the short strings " + std::to_string(i % 100)].push_back(i);
    });
    thread.join();
    need(map.size() == 100 && moat_owns(map.begin()->second.data()), "containers");
    map.clear();

    bool caught = false;
    volatile std::size_t huge = PTRDIFF_MAX;
    try {
        delete[] new char[huge];
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    need(caught, "bad_alloc");
    need(new (std::nothrow) char[huge] == nullptr, "nothrow new");
    try {
        throw std::runtime_error("text on the heap");
    } catch (const std::exception &error) {
        need(std::string(error.what()) == "text on the heap", "exceptions");
    }
    std::printf("ok %s\n", moat_version());
    return 0;
}
