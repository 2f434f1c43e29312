/*
 * test_list: the one kind of list (src/base/list.h), against a model that is an array.
 */
#include "base/list.h"

#include "suite.h"
#include <stdlib.h>

enum { RECORDS = 9 }; /* record 0 is none */

struct record {
    uint64_t other;
    struct list_node node;
};

static struct record records[RECORDS];

static struct list_table table(void) {
    return (struct list_table){(uintptr_t)records + offsetof(struct record, node),
                               sizeof(struct record)};
}

/* Both ways through the list it is the model. */
static void compare(const struct list *list, const uint32_t *model, size_t count) {
    uint32_t index = list->first, previous = list_last(list, table());
    ck_assert_uint_eq(previous, count == 0 ? 0 : model[count - 1]);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(index, model[i]);
        ck_assert_uint_eq(list_node(table(), index)->prev, previous);
        previous = index;
        index = list_next(table(), index);
    }
    ck_assert_uint_eq(index, 0);
    ck_assert_int_eq(list_is_empty(list), count == 0);
}

static size_t model_remove(uint32_t *model, size_t count, uint32_t index) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (model[i] != index) model[kept++] = model[i];
    return kept;
}

START_TEST(any_order_of_pushes_and_removals_is_as_the_model_says) {
    for (unsigned seed = 1; seed < 400; seed++) {
        struct list list = {0};
        uint32_t model[RECORDS];
        size_t count = 0;
        bool in[RECORDS] = {false};
        unsigned random = seed * 2654435761u;
        for (int step = 0; step < 60; step++) {
            random = random * 1103515245u + 12345u;
            uint32_t index = 1 + (random >> 16) % (RECORDS - 1);
            if (in[index]) {
                list_remove(&list, table(), index);
                count = model_remove(model, count, index);
            } else if (random & 0x800) {
                list_push_front(&list, table(), index);
                for (size_t i = count++; i > 0; i--) model[i] = model[i - 1];
                model[0] = index;
            } else {
                list_push_back(&list, table(), index);
                model[count++] = index;
            }
            in[index] = !in[index];
            compare(&list, model, count);
        }
    }
}
END_TEST

START_TEST(a_record_stands_in_one_list_after_another) {
    struct list one = {0}, other = {0};
    list_push_back(&one, table(), 3);
    list_remove(&one, table(), 3);
    list_push_back(&other, table(), 3);
    ck_assert(list_is_empty(&one));
    ck_assert_uint_eq(other.first, 3);
    ck_assert_uint_eq(list_last(&other, table()), 3);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("list");
    TCase *group = tcase_create("list");
    tcase_add_test(group, any_order_of_pushes_and_removals_is_as_the_model_says);
    tcase_add_test(group, a_record_stands_in_one_list_after_another);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
