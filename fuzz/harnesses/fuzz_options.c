/*
 * fuzz_options: texts of options, against a model of the table they are made from.
 *
 * Each operation of an input is an item of the text: a key and a value, right or wrong, of which
 * the model knows the meaning. The text is the program's own, that of the environment, or that of a
 * privileged process's environment. engine/texts.h says what is judged.
 */
#include "engine/texts.h"

#define PARTS_RUN(input) texts_run(&texts_moat, (input))
#include "engine/parts.h"
