/* The other side of a channel of signals, in C: knows nothing of ringshm.
 *
 *   peer send PID SIGNAL FROM TO    queues the values FROM to TO - 1, as ints
 *   peer wait SIGNAL COUNT          says "ready", then waits for that many and prints their values
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "send")) {
        for (int n = atoi(argv[4]); n < atoi(argv[5]); n++)
            if (sigqueue(atoi(argv[2]), atoi(argv[3]), (union sigval){.sival_int = n})) return perror("sigqueue"), 1;
        return 0;
    }
    if (argc == 4 && !strcmp(argv[1], "wait")) {
        sigset_t set;
        siginfo_t info;
        sigemptyset(&set);
        sigaddset(&set, atoi(argv[2]));
        sigprocmask(SIG_BLOCK, &set, NULL);
        puts("ready");
        fflush(stdout);
        for (int n = atoi(argv[3]); n > 0; n--) {
            while (sigwaitinfo(&set, &info) == -1)
                if (errno != EINTR) return perror("sigwaitinfo"), 1;
            printf("%d\n", info.si_code == SI_QUEUE ? info.si_value.sival_int : -1);
        }
        return 0;
    }
    return 2;
}
