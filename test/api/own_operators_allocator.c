/*
 * own_operators_allocator: functions for memory under names of a library's own.
 */
#include <stdlib.h>

void *own_malloc(size_t size);
void own_free(void *block);

void *own_malloc(size_t size) { return malloc(size); }
void own_free(void *block) { free(block); }
