/*
 * misuse: plays one case of misuse and does not survive it.
 *
 *   misuse --list             KIND.PATH of every case, one a line
 *   misuse --describe CASE    how the judge must read it: outcome, rounds, options
 *   misuse [--going-on] CASE [ROUND]   plays it; see scene.h for what is said on standard output
 */
#include "misuse.h"

#include "family.h"

#include <stdio.h>

const struct misuse_case *misuse_playing;
unsigned scene_round;
bool scene_goes_on;
size_t scene_size;

static const struct misuse_case *const tables[] = {
    double_free_cases, racing_cases, lifetime_cases,    no_block_cases, resize_cases,
    sized_cases,       link_cases,   forged_link_cases, guard_cases,    reentrant_cases,
    thread_word_cases, right_cases,  strict_cases,      sample_cases,
};

static const char *const outcome_names[] = {"at-once", "later", "later-or-harmless", "fault",
                                            "clean"};

/* Of two possible kinds the first names the case. */
static void name_of(const struct misuse_case *entry, char *text, size_t size) {
    snprintf(text, size, "%.*s.%s", (int)strcspn(entry->kind, "|"), entry->kind, entry->path);
}

static const struct misuse_case *find_case(const char *wanted, bool list) {
    char name[128];
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct misuse_case *entry = tables[i]; entry->kind; entry++) {
            name_of(entry, name, sizeof name);
            if (list) {
                say("%s", name);
            } else if (strcmp(name, wanted) == 0) {
                return entry;
            }
        }
    }
    return NULL;
}

static const struct misuse_case *require_case(const char *name) {
    const struct misuse_case *found = find_case(name, false);
    REQUIRE(found, "there is a case %s", name);
    return found;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        find_case("", true);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--describe") == 0) {
        const struct misuse_case *entry = require_case(argv[2]);
        say("%s %u %s", outcome_names[entry->outcome], entry->rounds,
            entry->options ? entry->options : "-");
        return 0;
    }
    scene_goes_on = argc > 2 && strcmp(argv[1], "--going-on") == 0;
    argv += scene_goes_on;
    argc -= scene_goes_on;
    REQUIRE(argc == 2 || argc == 3,
            "usage: misuse --list | --describe CASE | [--going-on] CASE [ROUND]");
    misuse_playing = require_case(argv[1]);
    scene_round = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    scene_size = misuse_playing->size;
    family_find();
    REQUIRE(family_is_moat(), "the program runs on moat");
    misuse_playing->play(misuse_playing->size);
    finished();
}
