// thread_local: objects with thread storage that own memory, destroyed in every order relative to moat's own thread end, also
// made anew by the destructors of others, and blocks that outlive their thread.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "api.h"

namespace {

std::atomic<int> destroyed;
std::atomic<std::string *> left_behind;

struct Owner {
    std::vector<std::string> texts;
    ~Owner() {
        REQUIRE(texts.size() == 50 && texts[49].size() == 149, "contents of a thread_local at its end");
        std::map<int, std::string> late;
        for (int i = 0; i < 50; i++) late[i] = std::string(static_cast<std::size_t>(i * 20), 'z');
        destroyed++;
    }
    void fill() {
        for (std::size_t i = 0; i < 50; i++) texts.emplace_back(100 + i, 'x');
    }
};

// Objects of a function: made when a thread first gets there, and only then.
Owner &early() {
    static thread_local Owner owner;
    return owner;
}
Owner &late() {
    static thread_local Owner owner;
    return owner;
}
struct Reviver {
    std::string text = std::string(1000, 'r');
    ~Reviver() { late().fill(), destroyed += 1000; } // the first use of late() in its thread
};
Reviver &reviver() {
    static thread_local Reviver reviver;
    return reviver;
}

void body(bool revive) {
    early().fill();
    if (revive) {
        REQUIRE(reviver().text.size() == 1000, "a thread_local string");
    } else {
        late().fill();
    }
    delete left_behind.exchange(new std::string(5000, 'b'));
}

} // namespace

int main() {
    require_moat(60);
    const int threads = 200;
    for (int i = 0; i < threads; i += 4) {
        std::vector<std::thread> some;
        for (int k = 0; k < 4; k++) some.emplace_back(body, k % 2 == 0);
        for (std::thread &thread : some) thread.join();
    }
    delete left_behind.exchange(nullptr);
    REQUIRE(destroyed == 2 * threads + 1000 * threads / 2, "destructors counted %d", destroyed.load());
    REQUIRE(family.check() > 0, "moat_check() saw no page");
    return 0;
}
