/*
 * threads: plays one scenario of many threads; the process ends with status 0 if everything held.
 *
 *   threads --list        the names
 *   threads SCENARIO
 */
#include "crowd.h"

#include <string.h>

static const struct scenario *const tables[] = {handing_scenarios, birth_scenarios,
                                                server_scenarios, ending_scenarios};

int main(int argc, char **argv) {
    REQUIRE(argc == 2, "usage: threads --list | threads SCENARIO");
    bool list = strcmp(argv[1], "--list") == 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct scenario *scenario = tables[i]; scenario->name; scenario++) {
            if (list) say("%s", scenario->name);
            if (list || strcmp(scenario->name, argv[1]) != 0) continue;
            remember_start();
            scenario->play();
            require_rest();
            return 0;
        }
    }
    REQUIRE(list, "there is a scenario %s", argv[1]);
    return 0;
}
