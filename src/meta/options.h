/*
 * options: what a user may set.
 *
 * MOAT_OPTIONS="key=value:key=value" in the environment, after the program's own
 * moat_default_options(). Parsed once, during initialisation, into a structure that is read-only
 * afterwards. With AT_SECURE the environment may only harden: a weakening value is ignored with one
 * warning. An unknown key, or a bad value, is one warning each and changes nothing. Parsing
 * allocates nothing and never fails.
 */
#ifndef MOAT_OPTIONS_H
#define MOAT_OPTIONS_H

#include "base/base.h"
#include "report/sink.h"

enum level { LEVEL_DEFAULT, LEVEL_STRICT };
enum guards_mode { GUARDS_AUTO, GUARDS_MPROTECT, GUARDS_OFF };
enum dump_mode { DUMP_HEAP, DUMP_TABLES, DUMP_NONE };
enum seal_mode { SEAL_AUTO, SEAL_ON, SEAL_OFF };
enum thp_mode { THP_HUGE, THP_OFF };
enum sized_mode { SIZED_ABORT, SIZED_REPORT, SIZED_OFF };
enum deepbind_mode { DEEPBIND_STRIP, DEEPBIND_KEEP, DEEPBIND_STRIP_EXCEPT };

/* Of `sample`: no distance, but a share of the time. */
#define SAMPLE_AUTO UINT32_MAX

/* What may stand behind a word and a colon. */
enum option_list_form {
    LIST_NONE,
    LIST_NAMES, /* between commas, none of them empty */
    LIST_PATH,  /* of a file, from the root */
    LIST_NUMBER /* of a descriptor */
};
#define OPTION_LIST_MAX 255
struct option_list {
    char text[OPTION_LIST_MAX + 1]; /* zero-terminated; empty: no list */
};

/* What each means, and what it may be: options.def. */
struct options {
#define OPTION(key, field, type, default_value, rule, values) type field;
#include "meta/options.def"
    struct option_list deepbind_names; /* of deepbind=strip-except */
    struct option_list report_where;   /* of report=file and report=fd */
};

void options_set_defaults(struct options *options);
/* `privileged`: only values that harden are taken. `text` may be NULL. */
void options_parse(struct options *options, const char *text, bool privileged);
/* Defaults, then moat_default_options() if the program has one, then MOAT_OPTIONS of the
   environment. Prints the one line of verbose=1. */
void options_load(struct options *options);
/* Whether the list has exactly this name. */
bool option_list_has(const struct option_list *list, const char *name);

#endif
