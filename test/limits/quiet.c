/* quiet [forked]: a program that does what many do at their start, says which process is to be
   looked at, itself or a child that it has made, and waits for the end of its input. For
   start_cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char *copy = strdup("a few small blocks");
    void *table = calloc(100, sizeof(void *));
    if (!copy || !table) return 1;
    if (argc == 2 && strcmp(argv[1], "forked") == 0) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child > 0) return waitpid(child, NULL, 0) != child;
    }
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (getchar() != EOF) continue;
    free(table);
    free(copy);
    return 0;
}
