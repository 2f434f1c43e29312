/* report_line: see report_line.h. */
#include "report_line.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LINE "^moat: (fatal|error): ([a-z-]+): ([^\n]+) at 0x([0-9a-f]+)$"

static void copy_match(char *copy, size_t size, const char *text, const regmatch_t *match) {
    snprintf(copy, size, "%.*s", (int)(match->rm_eo - match->rm_so), text + match->rm_so);
}

static bool parse_first(const char *text, struct report_line *line) {
    regex_t expression;
    regmatch_t matches[5];
    char first[512], digits[32];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, "\n"), text);
    if (regcomp(&expression, FIRST_LINE, REG_EXTENDED) != 0) return false;
    bool found = regexec(&expression, first, 5, matches, 0) == 0;
    regfree(&expression);
    if (!found) return false;
    line->ends = first[matches[1].rm_so] == 'f';
    copy_match(line->kind, sizeof line->kind, first, &matches[2]);
    copy_match(line->what, sizeof line->what, first, &matches[3]);
    copy_match(digits, sizeof digits, first, &matches[4]);
    line->address = (uintptr_t)strtoull(digits, NULL, 16);
    return true;
}

bool report_line_parse(const char *text, struct report_line *line, char *why, size_t why_size) {
    memset(line, 0, sizeof *line);
    if (!parse_first(text, line)) {
        snprintf(why, why_size, "standard error does not begin with a report: \"%.*s\"",
                 (int)strcspn(text, "\n"), text);
        return false;
    }
    unsigned others = 0;
    const char *rest = text + strcspn(text, "\n");
    while (*rest == '\n' && rest[1] != '\0') {
        rest++;
        if (strncmp(rest, "moat:", 5) != 0) {
            snprintf(why, why_size, "a line of the report does not start with moat: \"%.*s\"",
                     (int)strcspn(rest, "\n"), rest);
            return false;
        }
        others++;
        rest += strcspn(rest, "\n");
    }
    if (*rest != '\n') {
        snprintf(why, why_size, "the report's last line is cut off");
        return false;
    }
    if (others == 0) {
        snprintf(why, why_size, "the report has only its first line");
        return false;
    }
    return true;
}

const char *report_line_next(const char *text, struct report_line *line) {
    while (*text != '\0') {
        const char *next = text + strcspn(text, "\n");
        if (*next == '\n') next++;
        if (parse_first(text, line)) return next;
        text = next;
    }
    return NULL;
}

bool matches_whole(const char *text, const char *pattern) {
    char anchored[256];
    regex_t expression;
    if ((size_t)snprintf(anchored, sizeof anchored, "^(%s)$", pattern) >= sizeof anchored)
        return false;
    if (regcomp(&expression, anchored, REG_EXTENDED | REG_NOSUB) != 0) return false;
    bool matched = regexec(&expression, text, 0, NULL, 0) == 0;
    regfree(&expression);
    return matched;
}
