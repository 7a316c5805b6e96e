/* All that a container of the test runs: says hello on both outputs, says "tick" when told by
 * SIGUSR1, ends with 3 when told by SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_signal(int signal) {
    if (signal == SIGTERM) _exit(3);
    (void)!write(STDOUT_FILENO, "tick\n", 5);
}

int main(int count, char **words) {
    signal(SIGTERM, on_signal);
    signal(SIGUSR1, on_signal);
    printf("hello from %s\n", count > 1 ? words[1] : "nobody");
    fflush(stdout);
    fprintf(stderr, "careful\n");
    for (;;) pause();
}
