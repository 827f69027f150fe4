/* The other side of a POSIX semaphore, in C: does what it is told on standard input, and reports on standard output.
 *
 *   name N NAME            sem_open of an existing one, as number N
 *   make N NAME COUNT      sem_open with O_CREAT | O_EXCL
 *   object N PATH OFFSET   the sem_t at an offset of a shared object; "init N PATH OFFSET COUNT": after sem_init
 *   wait N, timed N MS, try N, post N, value N
 *   relay N M TIMES        waits for N and posts M, so many times
 *   word N INDEX VALUE     writes one of the eight 32-bit words of the object
 *   count-and-die N        what a process leaves that is killed within sem_post, between counting and waking
 *   scribble N             writes nonsense all over the object until it is killed
 *
 * wait, timed and relay report "begin" first. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static sem_t *semaphores[8];

static void report(const char *text) {
    printf("@ %s\n", text);
    fflush(stdout);
}

static void result(int failed) {
    char text[32];
    snprintf(text, sizeof text, "error %d", errno);
    report(!failed ? "ok" : errno == EAGAIN ? "EAGAIN" : errno == ETIMEDOUT ? "ETIMEDOUT" : errno == EEXIST ? "EEXIST" : text);
}

static sem_t *object(const char *path, long offset) {
    int file = open(path, O_RDWR);
    if (file < 0) return NULL;
    char *base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return base == MAP_FAILED ? NULL : (sem_t *)(base + offset);
}

static int timed(sem_t *semaphore, long milliseconds) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += milliseconds % 1000 * 1000000;
    if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
    return sem_timedwait(semaphore, &end);
}

static void scribble(volatile uint32_t *words) {
    for (uint32_t state = 1;;) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        words[state % 8] = state & 64 ? state >> 8 : state >> 29;
    }
}

int main(void) {
    char line[512], verb[32], text[256];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    while (fgets(line, sizeof line, stdin)) {
        unsigned n;
        long a = 0, b = 0;
        if (sscanf(line, "%31s %u", verb, &n) != 2 || n >= 8) return 2;
        sem_t **at = &semaphores[n];
        if (sscanf(line, "name %*u %255s", text) == 1) {
            *at = sem_open(text, 0);
            result(*at == SEM_FAILED);
        } else if (sscanf(line, "make %*u %255s %ld", text, &a) == 2) {
            *at = sem_open(text, O_CREAT | O_EXCL, 0600, (unsigned)a);
            result(*at == SEM_FAILED);
        } else if (sscanf(line, "object %*u %255s %ld", text, &a) == 2) {
            *at = object(text, a);
            result(*at == NULL);
        } else if (sscanf(line, "init %*u %255s %ld %ld", text, &a, &b) == 3) {
            *at = object(text, a);
            result(*at == NULL || sem_init(*at, 1, (unsigned)b));
        } else if (!strcmp(verb, "wait")) {
            report("begin");
            result(sem_wait(*at));
        } else if (sscanf(line, "timed %*u %ld", &a) == 1) {
            report("begin");
            result(timed(*at, a));
        } else if (!strcmp(verb, "try")) {
            result(sem_trywait(*at));
        } else if (!strcmp(verb, "post")) {
            result(sem_post(*at));
        } else if (!strcmp(verb, "value")) {
            int value;
            sem_getvalue(*at, &value);
            snprintf(text, sizeof text, "%d", value);
            report(text);
        } else if (sscanf(line, "relay %*u %ld %ld", &a, &b) == 2 && a >= 0 && a < 8) {
            int failed = 0;
            report("begin");
            while (b-- > 0 && !failed) failed = sem_wait(*at) || sem_post(semaphores[a]);
            result(failed);
        } else if (sscanf(line, "word %*u %ld %ld", &a, &b) == 2 && a >= 0 && a < 8) {
            ((volatile uint32_t *)*at)[a] = (uint32_t)b;
            report("ok");
        } else if (!strcmp(verb, "count-and-die")) {
            __atomic_fetch_add((uint64_t *)*at, 1, __ATOMIC_RELEASE);
            kill(getpid(), SIGKILL);
        } else if (!strcmp(verb, "scribble")) {
            report("begin");
            scribble((volatile uint32_t *)*at);
        } else {
            return 2;
        }
    }
    return 0;
}
