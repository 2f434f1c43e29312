/*
 * fuzz_modules: what a report reads of a damaged process: headers, symbols, unwind tables,
 * expressions, stacks and the list of mappings.
 *
 * Each operation of an input is a question to the readers, or damage to what they read.
 * engine/modules.h says what is judged.
 */
#include "engine/modules.h"

#define PARTS_RUN(input) modules_run(&modules_moat, (input))
#include "engine/parts.h"
