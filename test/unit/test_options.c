/*
 * test_options: what MOAT_OPTIONS and moat_default_options() may set (src/meta/options.h).
 *
 * Each test has a process of its own (Check forks), so that the environment and descriptor 2 can be
 * changed at will.
 */
#include "meta/options.h"
#include "report/report.h"

#include "moat.h"

#include "suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program_options;

/* As a program would. */
const char *moat_default_options(void) { return program_options; }

/* --- Catching what is printed ---------------------------------------------------------------- */

static char printed[4096];

static FILE *caught;
static int kept_stderr;

/* From here on descriptor 2 is a file... */
static void catch_stderr(void) {
    caught = tmpfile();
    ck_assert_ptr_nonnull(caught);
    kept_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(kept_stderr, 0);
    ck_assert_int_eq(dup2(fileno(caught), STDERR_FILENO), STDERR_FILENO);
}

/* ... and after this `printed` is what came out. */
static void release_stderr(void) {
    ck_assert_int_eq(dup2(kept_stderr, STDERR_FILENO), STDERR_FILENO);
    close(kept_stderr);
    rewind(caught);
    printed[fread(printed, 1, sizeof printed - 1, caught)] = '\0';
    fclose(caught);
}

static void parse_over(struct options *options, const char *text, bool privileged) {
    catch_stderr();
    options_parse(options, text, privileged);
    release_stderr();
}

static struct options parsed(const char *text, bool privileged) {
    struct options options;
    options_set_defaults(&options);
    parse_over(&options, text, privileged);
    return options;
}

static void assert_same(const struct options *a, const struct options *b) {
#define OPTION(key, field, type, default_value, rule, values) ck_assert(a->field == b->field);
#include "meta/options.def"
}

static struct options defaults(void) {
    return (struct options){.level = LEVEL_DEFAULT,
                            .quarantine = 128,
                            .quarantine_bytes = (size_t)1 << 20,
                            .guards = GUARDS_AUTO,
                            .sized = SIZED_ABORT,
                            .zero_realloc_frees = true,
                            .purge_delay_ms = 10,
                            .thp = THP_HUGE,
                            .verbose = false,
                            .region_limit = 0,
                            .dump = DUMP_TABLES,
                            .madvise_used = true,
                            .seal = SEAL_AUTO,
                            .files_used = true};
}

/* --- Values ---------------------------------------------------------------------------------- */

START_TEST(no_text_leaves_the_documented_defaults) {
    struct options expected = defaults();
    static const char *const texts[] = {NULL, "", ":", ":::"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct options options = parsed(texts[i], false);
        assert_same(&options, &expected);
        ck_assert_str_eq(printed, "");
    }
}
END_TEST

/* What a text changes of the defaults: a member of struct options. */
struct change {
    size_t offset, size;
    uint64_t value;
};

#define NOTHING                                                                                    \
    { 0, 0, 0 }
#define CHANGE(member, value)                                                                      \
    { offsetof(struct options, member), sizeof((struct options *)0)->member, (uint64_t)(value) }

static const struct {
    const char *text;
    struct change change;
} good[] = {
    {"level=default", NOTHING},
    {"level=strict", CHANGE(level, LEVEL_STRICT)},
    {"quarantine=0", CHANGE(quarantine, 0)},
    {"quarantine=192", CHANGE(quarantine, 192)},
    {"quarantine_size=0", CHANGE(quarantine_bytes, 0)},
    {"quarantine_size=2M", CHANGE(quarantine_bytes, (size_t)2 << 20)},
    {"guards=auto", NOTHING},
    {"guards=mprotect", CHANGE(guards, GUARDS_MPROTECT)},
    {"guards=off", CHANGE(guards, GUARDS_OFF)},
    {"sized=abort", NOTHING},
    {"sized=report", CHANGE(sized, SIZED_REPORT)},
    {"sized=off", CHANGE(sized, SIZED_OFF)},
    {"zero_realloc=free", NOTHING},
    {"zero_realloc=alloc", CHANGE(zero_realloc_frees, false)},
    {"purge_delay=0", CHANGE(purge_delay_ms, 0)},
    {"purge_delay=3600000", CHANGE(purge_delay_ms, 3600000)},
    {"purge_delay=0000000000000000000000000001", CHANGE(purge_delay_ms, 1)},
    {"thp=huge", NOTHING},
    {"thp=off", CHANGE(thp, THP_OFF)},
    {"verbose=1", CHANGE(verbose, true)},
    {"verbose=0", NOTHING},
    {"region=0", NOTHING},
    {"region=16777216", CHANGE(region_limit, 16777216)},
    {"region=16384K", CHANGE(region_limit, 16777216)},
    {"region=64M", CHANGE(region_limit, (size_t)64 << 20)},
    {"region=3G", CHANGE(region_limit, (size_t)3 << 30)},
    {"region=2T", CHANGE(region_limit, (size_t)2 << 40)},
    {"region=9223372036854775807", CHANGE(region_limit, PTRDIFF_MAX)},
    {"dump=heap", CHANGE(dump, DUMP_HEAP)},
    {"dump=tables", NOTHING},
    {"dump=none", CHANGE(dump, DUMP_NONE)},
    {"madvise=on", NOTHING},
    {"madvise=off", CHANGE(madvise_used, false)},
    {"seal=auto", NOTHING},
    {"seal=on", CHANGE(seal, SEAL_ON)},
    {"seal=off", CHANGE(seal, SEAL_OFF)},
    {"files=on", NOTHING},
    {"files=off", CHANGE(files_used, false)},
    {"deepbind=keep", CHANGE(deepbind, DEEPBIND_KEEP)},
    {"report=stderr", NOTHING},
    {"sample=0", NOTHING},
    {"sample=1", CHANGE(sample, 1)},
    {"sample=1000000000", CHANGE(sample, 1000000000)},
    {"sample=auto", CHANGE(sample, SAMPLE_AUTO)},
    {"sample=auto:sample=7", CHANGE(sample, 7)},
    {"sample_continue=1", CHANGE(sample_continue, true)},
    {"on=abort", NOTHING},
    {"on=report", CHANGE(going_on, REPORT_MAY_GO_ON)},
    {"on=report:on=abort", NOTHING},
    {"on=abort,double-free=report", CHANGE(going_on, 1u << REPORT_DOUBLE_FREE)},
    {"on=report,double-free=abort",
     CHANGE(going_on, REPORT_MAY_GO_ON & ~(1u << REPORT_DOUBLE_FREE))},
    {"on=abort,double-free=report,invalid-free=report,double-free=abort",
     CHANGE(going_on, 1u << REPORT_INVALID_FREE)},
    {"on=abort,corrupt-link=abort,corrupt-metadata=abort,guard-hit=abort", NOTHING},
    {"report=syslog", CHANGE(report, SINK_SYSLOG)},
    {"report=fd:3:report=stderr", NOTHING},
    {"deepbind=keep:deepbind=strip", NOTHING},
    /* Empty items do not count, and of two the last one wins. */
    {"::sized=off:", CHANGE(sized, SIZED_OFF)},
    {"sized=off:sized=report", CHANGE(sized, SIZED_REPORT)},
};

START_TEST(every_key_takes_its_values) {
    struct options options = parsed(good[_i].text, false), expected = defaults();
    memcpy((char *)&expected + good[_i].change.offset, &good[_i].change.value,
           good[_i].change.size);
    assert_same(&options, &expected);
    ck_assert_str_eq(printed, "");
}
END_TEST

START_TEST(several_keys_are_taken_from_one_text) {
    struct options options = parsed(
        "guards=off:sized=report:zero_realloc=alloc:purge_delay=5:verbose=1:region=1G", false);
    struct options expected = defaults();
    expected.guards = GUARDS_OFF;
    expected.sized = SIZED_REPORT;
    expected.zero_realloc_frees = false;
    expected.purge_delay_ms = 5;
    expected.verbose = true;
    expected.region_limit = (size_t)1 << 30;
    assert_same(&options, &expected);
    ck_assert_str_eq(printed, "");
}
END_TEST

static const char *const bad[] = {
    "level=",
    "level=1",
    "level=Strict",
    "quarantine=193",
    "quarantine=-1",
    "quarantine_size=1",
    "quarantine_size=2G",
    "guards=",
    "guards",
    "guards=OFF",
    "guards=off ",
    "guards=of",
    "guards=1",
    "guards==off",
    "sized=warn",
    "sized=abort,off",
    "zero_realloc=null",
    "zero_realloc=1",
    "purge_delay=",
    "purge_delay=-1",
    "purge_delay=+1",
    "purge_delay= 1",
    "purge_delay=1.5",
    "purge_delay=0x10",
    "purge_delay=1K",
    "purge_delay=3600001",
    "purge_delay=4294967296",           /* 2^32: not 0 */
    "purge_delay=18446744073709551616", /* 2^64 */
    "purge_delay=18446744073709551620", /* 2^64 + 4, where the multiplication overflows */
    "purge_delay=99999999999999999999999999999999",
    "verbose=2",
    "verbose=yes",
    "sample=",
    "sample=1000000001",
    "sample=4294967295",
    "sample=often",
    "sample_continue=2",
    "on=",
    "on",
    "on=1",
    "on=Report",
    "on=report,",
    "on=,",
    "on=report,,double-free=abort",
    "on=double-free=abort",
    "on=report,double-free",
    "on=report,double-free=",
    "on=report,double-free=off",
    "on=report,double-freee=abort",
    "on=report,=abort",
    "on=report,corrupt-link=report",
    "on=report,corrupt-metadata=report",
    "on=abort,guard-hit=report",
    "report=",
    "report=file",
    "report=file:",
    "report=file:name",
    "report=file:verbose=1",
    "report=fd",
    "report=fd:",
    "report=fd:-1",
    "report=fd:x",
    "report=fd:3x",
    "report=fd:1234567",
    "report=syslog,fd",
    "region=",
    "region=G",
    "region=1",
    "region=16777215",
    "region=16383K",
    "region=1g",
    "region=1GB",
    "region=1P",
    "region=9223372036854775808",
    "region=18446744073709551616",
    "region=16777216T", /* 2^64 */
    "region=8388608T",  /* 2^63 */
};

START_TEST(a_bad_value_is_one_warning_and_changes_nothing) {
    struct options expected = defaults();
    char warning[256];
    struct options options = parsed(bad[_i], false);
    assert_same(&options, &expected);
    snprintf(warning, sizeof warning, "moat: warning: bad value of an option, ignored: %s\n",
             bad[_i]);
    ck_assert_str_eq(printed, warning);
}
END_TEST

static const struct {
    const char *text, *named;
} unknown[] = {{"colour=blue", "colour"}, {"guard=off", "guard"},     {"guardss=off", "guardss"},
               {"GUARDS=off", "GUARDS"},  {" guards=off", " guards"}, {"=off", "(no name)"},
               {"help", "help"},          {"\x1b[2J\n=1", "?[2J?"}};

START_TEST(an_unknown_key_is_one_warning_that_names_it) {
    struct options expected = defaults();
    char warning[256];
    struct options options = parsed(unknown[_i].text, false);
    assert_same(&options, &expected);
    snprintf(warning, sizeof warning, "moat: warning: unknown option: %s\n", unknown[_i].named);
    ck_assert_str_eq(printed, warning);
}
END_TEST

/* --- Lists ----------------------------------------------------------------------------------- */

static const struct {
    const char *text, *list;
} good_lists[] = {
    {"deepbind=strip-except:libfoo.so", "libfoo.so"},
    {"deepbind=strip-except:a,b,c:verbose=0", "a,b,c"},
    {"deepbind=strip-except:/opt/a b/lib+.so.1,x::sized=abort", "/opt/a b/lib+.so.1,x"},
    {":deepbind=strip-except:one:deepbind=strip-except:two", "two"},
    {"deepbind=strip-except:one:deepbind=strip-except:", "one"},
};

START_TEST(a_word_with_a_list_keeps_the_list) {
    struct options expected = defaults();
    struct options options = parsed(good_lists[_i].text, false);
    expected.deepbind = DEEPBIND_STRIP_EXCEPT;
    assert_same(&options, &expected);
    ck_assert_str_eq(options.deepbind_names.text, good_lists[_i].list);
}
END_TEST

static const char *const bad_lists[] = {
    "deepbind=strip-except",
    "deepbind=strip-except:",
    "deepbind=strip-except:,",
    "deepbind=strip-except:,a",
    "deepbind=strip-except:a,",
    "deepbind=strip-except:a,,b",
    "deepbind=strip-except,a",
    "deepbind=strip-except:guards=off",
    "deepbind=strip-excep",
    "deepbind=keep,a",
    "deepbind=",
    "deepbind=1",
};

START_TEST(a_bad_list_is_one_warning_and_changes_nothing) {
    struct options expected = defaults();
    char warning[256];
    struct options options = parsed(bad_lists[_i], false);
    assert_same(&options, &expected);
    ck_assert_str_eq(options.deepbind_names.text, "");
    snprintf(warning, sizeof warning, "moat: warning: bad value of an option, ignored: %s\n",
             bad_lists[_i]);
    ck_assert_str_eq(printed, warning);
}
END_TEST

START_TEST(a_list_has_a_largest_length) {
    char text[OPTION_LIST_MAX + 64] = "deepbind=strip-except:";
    size_t start = strlen(text);
    memset(text + start, 'n', OPTION_LIST_MAX);
    struct options options = parsed(text, false);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP_EXCEPT);
    ck_assert_uint_eq(strlen(options.deepbind_names.text), OPTION_LIST_MAX);
    ck_assert(option_list_has(&options.deepbind_names, text + start));
    text[start + OPTION_LIST_MAX] = 'n';
    options = parsed(text, false);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP);
    ck_assert_str_eq(options.deepbind_names.text, "");
}
END_TEST

START_TEST(a_list_has_its_names_and_no_others) {
    struct option_list list = {"libfoo.so,b,libfoo.so.1"};
    static const char *const absent[] = {"", "libfoo", "libfoo.so.", "libfoo.so,b", "a", ",", "1"};
    ck_assert(option_list_has(&list, "libfoo.so"));
    ck_assert(option_list_has(&list, "b"));
    ck_assert(option_list_has(&list, "libfoo.so.1"));
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        ck_assert(!option_list_has(&list, absent[i]));
    list.text[0] = '\0';
    ck_assert(!option_list_has(&list, ""));
}
END_TEST

static const struct {
    const char *text;
    enum report_sink sink;
    const char *where;
} good_targets[] = {
    {"report=file:/var/log/moat/a=b, c.json:verbose=0", SINK_FILE, "/var/log/moat/a=b, c.json"},
    {"report=fd:3", SINK_FD, "3"},
    {"report=fd:999999:", SINK_FD, "999999"},
    {"report=file:/a:report=fd:5", SINK_FD, "5"},
    {"report=file:/a:report=file:b", SINK_FILE, "/a"},
    {"report=file:/a:report=syslog", SINK_SYSLOG, ""}};

START_TEST(a_target_of_reports_keeps_its_place) {
    struct options expected = defaults();
    struct options options = parsed(good_targets[_i].text, false);
    expected.report = good_targets[_i].sink;
    assert_same(&options, &expected);
    ck_assert_str_eq(options.report_where.text, good_targets[_i].where);
}
END_TEST

/* Whose file or descriptor that would be is not for whoever starts the process to say. */
START_TEST(a_privileged_process_takes_no_target_with_a_place) {
    struct options options = parsed("report=syslog", true);
    ck_assert_int_eq((int)options.report, SINK_SYSLOG);
    parse_over(&options, "report=stderr", true); /* less than what is set */
    ck_assert_int_eq((int)options.report, SINK_SYSLOG);
    options = parsed("report=file:/var/log/a", false);
    parse_over(&options, "report=file:/var/log/b:report=fd:1:report=stderr:report=syslog", true);
    ck_assert_int_eq((int)options.report, SINK_FILE);
    ck_assert_str_eq(options.report_where.text, "/var/log/a");
}
END_TEST

START_TEST(a_privileged_process_lets_no_more_kinds_go_on) {
    struct options options = parsed("on=abort,double-free=report,invalid-free=report", false);
    parse_over(&options, "on=report", true);
    ck_assert_uint_eq(options.going_on, 1u << REPORT_DOUBLE_FREE | 1u << REPORT_INVALID_FREE);
    parse_over(&options, "on=abort,invalid-free=report,size-mismatch=report", true);
    ck_assert_uint_eq(options.going_on, 1u << REPORT_DOUBLE_FREE | 1u << REPORT_INVALID_FREE);
    parse_over(&options, "on=abort,invalid-free=report", true);
    ck_assert_uint_eq(options.going_on, 1u << REPORT_INVALID_FREE);
    parse_over(&options, "on=abort", true);
    ck_assert_uint_eq(options.going_on, 0);
}
END_TEST

START_TEST(a_list_goes_with_its_word) {
    struct options options = parsed("deepbind=strip-except:a:deepbind=strip", false);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP);
    ck_assert_str_eq(options.deepbind_names.text, "");
}
END_TEST

/* Of two lists neither is known to be the stronger. */
START_TEST(a_privileged_process_takes_a_list_in_place_of_a_weaker_word_alone) {
    struct options options = parsed("deepbind=keep", false);
    parse_over(&options, "deepbind=strip-except:a", true);
    ck_assert_str_eq(options.deepbind_names.text, "a");
    parse_over(&options, "deepbind=strip-except:b", true);
    ck_assert_str_eq(options.deepbind_names.text, "a");
    parse_over(&options, "deepbind=keep", true);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP_EXCEPT);
    parse_over(&options, "deepbind=strip", true);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP);
    parse_over(&options, "deepbind=strip-except:a", true);
    ck_assert_int_eq((int)options.deepbind, DEEPBIND_STRIP);
}
END_TEST

START_TEST(a_bad_item_does_not_hide_the_others) {
    struct options options = parsed("nonsense=1:guards=off:sized=maybe:verbose=1", false);
    struct options expected = defaults();
    expected.guards = GUARDS_OFF;
    expected.verbose = true;
    assert_same(&options, &expected);
    ck_assert_str_eq(printed, "moat: warning: unknown option: nonsense\n"
                              "moat: warning: bad value of an option, ignored: sized=maybe\n");
}
END_TEST

START_TEST(a_long_item_is_cut_in_its_warning) {
    char text[1000];
    memset(text, 'k', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    parsed(text, false);
    ck_assert_ptr_nonnull(strstr(printed, "unknown option: kkkk"));
    ck_assert_ptr_nonnull(strstr(printed, "k...\n"));
    ck_assert_uint_lt(strlen(printed), 200);
}
END_TEST

/* --- Privileged processes -------------------------------------------------------------------- */

static const char *const weakening[] = {"quarantine=127",
                                        "quarantine_size=0",
                                        "guards=off",
                                        "sized=report",
                                        "sized=off",
                                        "purge_delay=11",
                                        "purge_delay=3600000",
                                        "seal=off",
                                        "files=off",
                                        "madvise=off",
                                        "verbose=1",
                                        "region=16M",
                                        "region=64T",
                                        "deepbind=keep",
                                        "deepbind=strip-except:a",
                                        "on=report",
                                        "on=abort,invalid-free=report",
                                        "report=file:/tmp/a",
                                        "report=fd:1"};

START_TEST(a_privileged_process_refuses_what_weakens) {
    struct options expected = defaults();
    char warning[256];
    struct options options = parsed(weakening[_i], true);
    assert_same(&options, &expected);
    snprintf(warning, sizeof warning,
             "moat: warning: a privileged process does not take this from its environment: %s\n",
             weakening[_i]);
    ck_assert_str_eq(printed, warning);
}
END_TEST

START_TEST(a_privileged_process_takes_what_hardens_or_is_neutral) {
    struct options options =
        parsed("guards=mprotect:sized=abort:zero_realloc=alloc:purge_delay=7:thp=off:"
               "verbose=0:region=0:seal=on:level=strict:quarantine=129:quarantine_size=2M",
               true);
    struct options expected = defaults();
    expected.level = LEVEL_STRICT;
    expected.quarantine = 129;
    expected.quarantine_bytes = (size_t)2 << 20;
    expected.seal = SEAL_ON;
    expected.guards = GUARDS_MPROTECT;
    expected.zero_realloc_frees = false;
    expected.purge_delay_ms = 7;
    expected.thp = THP_OFF;
    assert_same(&options, &expected);
    ck_assert_str_eq(printed, "");
}
END_TEST

/* The measure is what the program chose for itself, not the defaults. */
START_TEST(a_privileged_process_may_harden_what_its_program_weakened) {
    struct options options =
        parsed("guards=off:sized=off:purge_delay=1000:verbose=1:region=1G", false);
    parse_over(&options, "guards=auto:sized=report:purge_delay=999:verbose=0:region=1G", true);
    struct options expected = defaults();
    expected.sized = SIZED_REPORT;
    expected.purge_delay_ms = 999;
    expected.region_limit = (size_t)1 << 30;
    assert_same(&options, &expected);
    ck_assert_str_eq(printed, "");
    parse_over(&options, "sized=off", true);
    ck_assert_int_eq((int)options.sized, SIZED_REPORT);
    parse_over(&options, "sized=abort", true);
    ck_assert_int_eq((int)options.sized, SIZED_ABORT);
    parse_over(&options, "purge_delay=1000", true);
    ck_assert_uint_eq(options.purge_delay_ms, 999);
    options = parsed("level=strict", false);
    parse_over(&options, "level=default", true);
    ck_assert_int_eq((int)options.level, LEVEL_STRICT);
}
END_TEST

START_TEST(a_privileged_process_still_warns_of_bad_values) {
    parsed("guards=of", true);
    ck_assert_str_eq(printed, "moat: warning: bad value of an option, ignored: guards=of\n");
}
END_TEST

/* --- Sources --------------------------------------------------------------------------------- */

START_TEST(the_environment_comes_after_the_program) {
    struct options options;
    struct options expected = defaults();
    unsetenv("MOAT_OPTIONS");
    program_options = NULL;
    options_load(&options);
    assert_same(&options, &expected);

    program_options = "sized=report:purge_delay=7";
    options_load(&options);
    expected.sized = SIZED_REPORT;
    expected.purge_delay_ms = 7;
    assert_same(&options, &expected);

    setenv("MOAT_OPTIONS", "sized=off", 1);
    options_load(&options);
    expected.sized = SIZED_OFF;
    assert_same(&options, &expected);
}
END_TEST

START_TEST(verbose_prints_one_line_that_could_be_set_again) {
    struct options options;
    struct options again;
    setenv("MOAT_OPTIONS",
           "verbose=1:guards=off:zero_realloc=alloc:region=1G:purge_delay=0:"
           "deepbind=strip-except:a,b:report=file:/b:sample=auto:sample_continue=1:"
           "on=abort,double-free=report",
           1);
    catch_stderr();
    options_load(&options);
    release_stderr();
    static const char start[] = "moat: options: ";
    ck_assert_str_eq(printed,
                     "moat: options: level=default:quarantine=128:quarantine_size=1048576:"
                     "guards=off:sized=abort:zero_realloc=alloc:purge_delay=0:thp=huge:verbose=1:"
                     "region=1073741824:dump=tables:madvise=on:seal=auto:files=on:"
                     "deepbind=strip-except:a,b:report=file:/b:sample=auto:sample_continue=1:"
                     "on=abort,double-free=report\n");
    char text[512];
    ck_assert_uint_lt(strlen(printed), sizeof text);
    memcpy(text, printed + sizeof start - 1, strlen(printed) - sizeof start + 2);
    text[strcspn(text, "\n")] = '\0';
    again = parsed(text, false);
    assert_same(&again, &options);
    ck_assert_str_eq(again.deepbind_names.text, "a,b");
    ck_assert_str_eq(again.report_where.text, "/b");

    setenv("MOAT_OPTIONS", "", 1);
    catch_stderr();
    options_load(&options);
    release_stderr();
    ck_assert_str_eq(printed, "");
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

int main(void) {
    Suite *suite = suite_create("options");
    TCase *group = tcase_create("options");
    tcase_add_test(group, no_text_leaves_the_documented_defaults);
    tcase_add_loop_test(group, every_key_takes_its_values, 0, LENGTH(good));
    tcase_add_test(group, several_keys_are_taken_from_one_text);
    tcase_add_loop_test(group, a_bad_value_is_one_warning_and_changes_nothing, 0, LENGTH(bad));
    tcase_add_loop_test(group, an_unknown_key_is_one_warning_that_names_it, 0, LENGTH(unknown));
    tcase_add_loop_test(group, a_word_with_a_list_keeps_the_list, 0, LENGTH(good_lists));
    tcase_add_loop_test(group, a_bad_list_is_one_warning_and_changes_nothing, 0, LENGTH(bad_lists));
    tcase_add_test(group, a_list_has_a_largest_length);
    tcase_add_test(group, a_list_has_its_names_and_no_others);
    tcase_add_loop_test(group, a_target_of_reports_keeps_its_place, 0, LENGTH(good_targets));
    tcase_add_test(group, a_privileged_process_takes_no_target_with_a_place);
    tcase_add_test(group, a_privileged_process_lets_no_more_kinds_go_on);
    tcase_add_test(group, a_list_goes_with_its_word);
    tcase_add_test(group, a_privileged_process_takes_a_list_in_place_of_a_weaker_word_alone);
    tcase_add_test(group, a_bad_item_does_not_hide_the_others);
    tcase_add_test(group, a_long_item_is_cut_in_its_warning);
    tcase_add_loop_test(group, a_privileged_process_refuses_what_weakens, 0, LENGTH(weakening));
    tcase_add_test(group, a_privileged_process_takes_what_hardens_or_is_neutral);
    tcase_add_test(group, a_privileged_process_may_harden_what_its_program_weakened);
    tcase_add_test(group, a_privileged_process_still_warns_of_bad_values);
    tcase_add_test(group, the_environment_comes_after_the_program);
    tcase_add_test(group, verbose_prints_one_line_that_could_be_set_again);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
