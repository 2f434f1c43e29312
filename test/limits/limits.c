/*
 * limits: plays one scenario; the process ends with status 0 if everything held, 77 if it cannot be
 * played here.
 *
 *   limits --list
 *   limits SCENARIO [ARGUMENT]
 */
#include "limits.h"

static const struct scenario *const tables[] = {exhaustion_scenarios, mapping_scenarios,
                                                giving_scenarios, working_scenarios};

struct piled {
    struct piled *below;
    size_t size, number;
};

static size_t *last_word(struct piled *block) {
    return (size_t *)(void *)((char *)block + (block->size & ~(size_t)7)) - 1;
}

bool pile_add(struct pile *pile, size_t size) {
    REQUIRE(size >= sizeof(struct piled) + sizeof(size_t),
            "a block has space for what it is to hold");
    errno = 0;
    struct piled *block = launder(malloc(size));
    if (!block) {
        REQUIRE(errno == ENOMEM, "malloc fails with ENOMEM (%d)", errno);
        return false;
    }
    *block = (struct piled){pile->top, size, pile->count};
    *last_word(block) = pile->count++;
    pile->bytes += size;
    pile->top = block;
    return true;
}

void pile_free(struct pile *pile) {
    while (pile->top) {
        struct piled *block = pile->top;
        pile->count--;
        REQUIRE(block->number == pile->count && *last_word(block) == pile->count,
                "a block keeps its contents");
        pile->top = block->below;
        free(block);
    }
    *pile = (struct pile){NULL, 0, 0};
}

void pile_fill(struct pile *pile, size_t size, size_t most) {
    while (pile->bytes < most && pile_add(pile, size)) continue;
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2 || argc == 3, "usage: limits --list | limits SCENARIO [ARGUMENT]");
    bool list = strcmp(argv[1], "--list") == 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct scenario *scenario = tables[i]; scenario->name; scenario++) {
            if (list) say("%s", scenario->name);
            if (list || strcmp(scenario->name, argv[1]) != 0) continue;
            REQUIRE(moat_owns(launder(malloc(1))), "the program runs on moat");
            scenario->play(argc == 3 ? argv[2] : "");
            moat_check();
            return 0;
        }
    }
    REQUIRE(list, "there is a scenario %s", argv[1]);
    return 0;
}
