/*
 * recipe: an input for people. See the header.
 */
#include "engine/recipe.h"

#include <ctype.h>
#include <string.h>

#include "base/seam.h"
#include "engine/program.h"
#include "engine/sizing.h"

static const char *const flag_names[] = {"MISUSE", "FORK",  "FULL_CONTENTS", "CHECK_OFTEN",
                                         "KERNEL", "STALE", "SHORTAGE",      "STRICT"};
static const char *const turn_names[] = {"TAPE", "ROUND_ROBIN", "RANDOM", "BURSTS"};
static const char *const schedule_names[] = {"RAW", "PCT", "RANDOM", "WALK"};

static const char *const failpoint_names[INPUT_FAILPOINTS] = {
#define FAILPOINT_TEXT(name, text, takes) text,
    FAILPOINT_ROWS(FAILPOINT_TEXT)
#undef FAILPOINT_TEXT
};
static bool names_failpoint(const struct input *input) {
    return input->failpoint != 0 && input->failpoint <= INPUT_FAILPOINTS;
}

static const char *scheduler_of(const struct recipe *recipe) {
    return recipe->style == RECIPE_AT_ONCE ? schedule_names[recipe->input->scheduler]
                                           : turn_names[recipe->input->scheduler];
}

/* Whether a code decides by kind and value of a size. */
static bool has_size(unsigned code) {
    return code <= OP_POSIX_MEMALIGN || code == OP_MALLOC_MANY || code == OP_REALLOC_STALE;
}

/* --- As text --------------------------------------------------------------------------------- */

static void print_lower(FILE *file, const char *name) {
    for (; *name != '\0'; name++) fputc(*name == '_' ? '-' : tolower((unsigned char)*name), file);
}

static void print_operation(FILE *file, const struct recipe *recipe, unsigned at) {
    const struct input_op *op = &recipe->input->ops[at];
    fprintf(file, "  %4u ", at);
    if (recipe->style == RECIPE_AT_ONCE)
        fprintf(file, "%s thread %u ", at < recipe->input->prologue ? "before" : "      ",
                program_thread_of(recipe->input, op));
    if (recipe->style == RECIPE_STEPS)
        fprintf(file, "code %2u", op->code);
    else
        fprintf(file, "%-20s", op_name(op->code));
    fprintf(file, "  pick %3u  other %3u  kind %3u  value %u", op->pick, op->other, op->kind,
            op->value);
    if (recipe->style != RECIPE_STEPS && has_size(op->code))
        fprintf(file, "  (%zu bytes)", size_decode(op->kind, op->value));
    fprintf(file, "\n");
}

static void print_schedule(FILE *file, const struct recipe *recipe) {
    const struct input *input = recipe->input;
    bool at_once = recipe->style == RECIPE_AT_ONCE;
    unsigned shift = at_once ? 2 : 3;
    if (recipe->style == RECIPE_CALLS || recipe->style == RECIPE_STEPS) return;
    for (unsigned i = 0; i < input->schedule_length; i++) {
        unsigned byte = input->schedule[i];
        fprintf(file, "  schedule %3u: %3u  (number %u of those that %s, code of its length %u)\n",
                i, byte, byte & ((1u << shift) - 1), at_once ? "can go on" : "live", byte >> shift);
    }
}

void recipe_text(FILE *file, const struct recipe *recipe) {
    const struct input *input = recipe->input;
    fprintf(file, "harness %s, seed %#lx", recipe->harness, (unsigned long)input->seed);
    if (recipe->style == RECIPE_VERBS || recipe->style == RECIPE_AT_ONCE) {
        fprintf(file, ", %u threads, scheduler ", input->threads);
        print_lower(file, scheduler_of(recipe));
    }
    if (input->fault_budget != 0) fprintf(file, ", up to %u faults", input->fault_budget);
    if (names_failpoint(input))
        fprintf(file, ", failpoint %s at passing %u and every %u after",
                failpoint_names[input->failpoint - 1], input->fail_first + 1u, input->fail_every);
    for (unsigned i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
        if (input->flags >> i & 1) {
            fprintf(file, ", ");
            print_lower(file, flag_names[i]);
        }
    fprintf(file, "\n");
    for (unsigned i = 0; i < input->op_count; i++) print_operation(file, recipe, i);
    print_schedule(file, recipe);
}

/* --- As C against the harness ---------------------------------------------------------------- */

/* What it finds, as part of a comment. */
static void print_words(FILE *file, const struct recipe *recipe) {
    if (recipe->words == NULL) return;
    fprintf(file, " * It found: ");
    for (const char *at = recipe->words; *at != '\0'; at++)
        fputc(*at == '/' && at[1] == '*' ? ' ' : *at, file);
    fprintf(file, "\n *\n");
}

static void print_code(FILE *file, unsigned code) {
    fprintf(file, "OP_");
    for (const char *name = op_name(code); *name != '\0'; name++)
        fputc(*name == '-' ? '_' : toupper((unsigned char)*name), file);
}

static void print_row(FILE *file, const struct recipe *recipe, unsigned at) {
    const struct input_op *op = &recipe->input->ops[at];
    fprintf(file, "        {");
    if (recipe->style == RECIPE_STEPS)
        fprintf(file, "%u", op->code);
    else
        print_code(file, op->code);
    fprintf(file, ", .pick = %u, .other = %u, .kind = %u, .value = %u},", op->pick, op->other,
            op->kind, op->value);
    if (recipe->style == RECIPE_AT_ONCE)
        fprintf(file, " /* %sthread %u */", at < recipe->input->prologue ? "before, " : "",
                program_thread_of(recipe->input, op));
    fprintf(file, "\n");
}

static void print_flags(FILE *file, const struct input *input) {
    fprintf(file, "    .flags = 0");
    for (unsigned i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
        if (input->flags >> i & 1) fprintf(file, " | INPUT_%s", flag_names[i]);
    fprintf(file, ",\n");
}

static void print_input(FILE *file, const struct recipe *recipe) {
    const struct input *input = recipe->input;
    fprintf(file,
            "static const struct input input = {\n    .prologue = %u,\n    .threads = %u,\n"
            "    .scheduler = %s_%s,\n    .fault_budget = %u,\n",
            input->prologue, input->threads,
            recipe->style == RECIPE_AT_ONCE ? "SCHEDULE" : "SCHEDULER", scheduler_of(recipe),
            input->fault_budget);
    if (names_failpoint(input))
        fprintf(file,
                "    .failpoint = %u, /* %s */\n    .fail_first = %u,\n"
                "    .fail_every = %u,\n",
                input->failpoint, failpoint_names[input->failpoint - 1], input->fail_first,
                input->fail_every);
    print_flags(file, input);
    fprintf(file, "    .seed = %#lx,\n    .op_count = %u,\n    .schedule_length = %u,\n",
            (unsigned long)input->seed, input->op_count, input->schedule_length);
    if (input->op_count != 0) fprintf(file, "    .ops = {\n");
    for (unsigned i = 0; i < input->op_count; i++) print_row(file, recipe, i);
    if (input->op_count != 0) fprintf(file, "    },\n");
    if (input->schedule_length != 0) fprintf(file, "    .schedule = {");
    for (unsigned i = 0; i < input->schedule_length; i++)
        fprintf(file, "%s%u", i != 0 ? ", " : "", input->schedule[i]);
    if (input->schedule_length != 0) fprintf(file, "},\n");
    fprintf(file, "};\n\n");
}

void recipe_of_harness(FILE *file, const struct recipe *recipe) {
    fprintf(file, "/*\n * An input of fuzz_%s, by its operations and schedule.\n *\n",
            recipe->harness);
    print_words(file, recipe);
    fprintf(file, " * fuzz/reproduce/reproduce.sh compiles and runs it; with an argument it prints "
                  "each step.\n */\n");
    fputs("#include <stdio.h>\n\n#include \"engine/run.h\"\n#include \"engine/target.h\"\n"
          "#include \"harness/harness.h\"\n\n",
          file);
    print_input(file, recipe);
    fputs("int main(int argc, char **argv) {\n"
          "    static uint8_t bytes[INPUT_MAX_SIZE];\n"
          "    size_t size = input_encode(&input, bytes, sizeof bytes);\n"
          "    harness_audit(true);\n"
          "    run_is_audited = true;\n"
          "    LLVMFuzzerInitialize(&argc, &argv);\n"
          "    run_verbose = argc > 1;\n"
          "    (void)LLVMFuzzerTestOneInput(bytes, size);\n"
          "    run_by_kernel = true; /* and once more, with memory from the kernel */\n"
          "    (void)LLVMFuzzerTestOneInput(bytes, size);\n"
          "    puts(\"nothing found\");\n"
          "    return 0;\n}\n",
          file);
}

/* --- As C against moat.h --------------------------------------------------------------------- */

void recipe_of_calls(FILE *file, const struct recipe *recipe, FILE *lines) {
    static const char options[] = "/* options: ";
    char line[4096], set[256] = "";
    unsigned blocks = 1;
    rewind(lines);
    while (fgets(line, sizeof line, lines) != NULL) {
        blocks += strstr(line, "given(") != NULL || strstr(line, "resized(") != NULL;
        if (strncmp(line, options, strlen(options)) == 0)
            snprintf(set, sizeof set, "%.*s", (int)strcspn(line + strlen(options), " "),
                     line + strlen(options));
    }
    fprintf(file, "/*\n * The calls of an input of fuzz_%s.\n *\n", recipe->harness);
    print_words(file, recipe);
    fprintf(file, " * fuzz/reproduce/reproduce.sh compiles it against moat.h, and runs it.\n */\n");
    fprintf(file, "enum { BLOCKS = %u, LOOKS_AT_COMMITTED = %d };\n#include \"judged.h\"\n\n",
            blocks, recipe->words != NULL && strstr(recipe->words, "committed after") != NULL);
    fprintf(file, "const char *moat_default_options(void) { return \"%s\"; }\n\n", set);
    fprintf(file, "int main(void) {\n    begin();\n");
    rewind(lines);
    while (fgets(line, sizeof line, lines) != NULL)
        if (strncmp(line, options, strlen(options)) != 0) fputs(line, file);
    fprintf(file, "    puts(\"nothing found\");\n    return 0;\n}\n");
}
