/*
 * mappings: some of a process's mappings, put by for when it has no more.
 *
 * The kernel counts the program's own mappings too (vm.max_map_count), and refuses whatever takes
 * another apart once there are too many. Runs without guards are one mapping, and cost none; but
 * the first such run, behind one that has a guard, costs two. So that there are two then, a few are
 * put by as long as guards take mappings apart. When they had to be given up the process is short
 * of mappings: guards are left out, until as many can be had again.
 *
 * No lock: who exchanges the address has what lies there.
 */
#ifndef MOAT_MAPPINGS_H
#define MOAT_MAPPINGS_H

#include "base/base.h"

/* Whether there may be more for a guard: some are put by, or can be put by now. */
bool mappings_are_left(void);
/* Gives up what is put by. True: there are more than a moment ago. */
bool mappings_give_up(void);
/* The kernel has refused one that takes another apart, and not one that merges: the process is
   short of mappings. */
void mappings_run_short(void);
bool mappings_are_short(void);

#endif
