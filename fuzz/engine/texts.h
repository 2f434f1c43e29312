/*
 * texts: texts of options, judged by what options.def says of them.
 *
 * Each operation of an input is an item of a text, right or wrong, and a model made from the same
 * table knows what it means. The first items may be the program's own, the others are those of the
 * environment, which a privileged process takes only where they harden. One thread at a time.
 */
#ifndef ENGINE_TEXTS_H
#define ENGINE_TEXTS_H

#include "engine/input.h"
#include "meta/options.h"

/* What is judged: the parser of meta/options.h, or one with a planted bug. */
struct texts_subject {
    void (*parse)(struct options *options, const char *text, bool privileged);
    void (*load)(struct options *options);
};
extern const struct texts_subject texts_moat;

/* Returns a hash of all that was seen. Ends the process by abort(), with a message, unless what
   holds afterwards is what the model says, each item that is not taken has one warning and nothing
   else has one, and the line of verbose=1, parsed again, gives the same options. */
uint64_t texts_run(const struct texts_subject *subject, const struct input *input);

#endif
