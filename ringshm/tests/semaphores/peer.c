/* One side of an SPSC ring of 64-bit numbers, in C: what a program needs to know of a ring whose participants sleep on semaphores. It does
 * what it is told on standard input, and reports on standard output.
 *
 *   join N consumer|producer PATH    takes the role, as side number N
 *   recv N FROM TO                   receives these numbers; reports "begin" first
 *   send N FROM TO                   sends them; reports "begin" first
 *   echo N M TIMES                   receives as side N and sends the same as side M; reports "begin" first
 *   leave N                          closes the ring, as one that is finished
 *
 * It sleeps for ten seconds at a time, so a wake-up that is lost is seen. A real program sleeps for milliseconds, because nobody wakes it when
 * its peer is killed; and it asks now and then, with F_OFD_GETLK, whether the peer's lock is free. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The bytes of a segment, see ringshm-core/src/layout.rs. */
struct header {
    char magic[8];
    uint32_t version, kind;
    uint64_t total, capacity, stride, max_message, lanes_at, data_at;
    char between[44];
    uint32_t options;
};
enum { VERSION = 5, SPSC_SLOTS = 1, SEMAPHORES = 4, RETIRED_AT = 512, LIVE = 1, CLOSED = 3 };

struct lane {
    _Alignas(128) _Atomic uint64_t cursor;
    uint64_t intent;
    _Atomic uint64_t express[2][3]; /* copies of messages of at most 24 bytes that were published alone */
    _Alignas(128) _Atomic uint32_t state;
    _Atomic uint32_t bell, pid;
    char between[52];
    sem_t semaphore;
    _Alignas(128) char accounts[128];
};
_Static_assert(offsetof(struct header, options) == 108, "");
_Static_assert(sizeof(struct lane) == 384, "");
_Static_assert(offsetof(struct lane, express) == 16, "");
_Static_assert(offsetof(struct lane, semaphore) == 192, "");

enum { ASLEEP = 1, FENCE_FIRST = 2 };

static struct side {
    struct header ring;
    struct lane *own, *peer;
    _Atomic uint64_t *slots;
} sides[2];

static void report(const char *text) {
    printf("@ %s\n", text);
    fflush(stdout);
}

static int lock(int file, int command, short type, uint64_t byte) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    return fcntl(file, command, &lock);
}

/* Behind the gate, which is byte 0. The lock on the lane's first byte says that this process is alive: the file stays open. */
static const char *join(struct side *side, int is_consumer, const char *path) {
    int file = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct header *ring = &side->ring;
    struct stat stat;
    if (file < 0 || fstat(file, &stat) || pread(file, ring, sizeof *ring, 0) != sizeof *ring) return "no ring";
    if (memcmp(ring->magic, "ringshm\n", 8) || ring->version != VERSION || ring->total != (uint64_t)stat.st_size)
        return "another version";
    if (ring->kind != SPSC_SLOTS || ring->stride != 8 || !(ring->options & SEMAPHORES)) return "another ring";
    char *base = mmap(NULL, ring->total, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (base == MAP_FAILED) return "no mapping";
    struct lane *lanes = (struct lane *)(base + ring->lanes_at);
    side->own = &lanes[is_consumer], side->peer = &lanes[!is_consumer];
    side->slots = (_Atomic uint64_t *)(base + ring->data_at);

    while (lock(file, F_OFD_SETLK, F_WRLCK, 0)) usleep(50);
    if (*(_Atomic uint32_t *)(base + RETIRED_AT)) return "retired";
    if (lock(file, F_OFD_SETLK, F_WRLCK, ring->lanes_at + (uint64_t)is_consumer * sizeof(struct lane))) return "taken";
    sem_init(&side->own->semaphore, 1, 0);
    side->own->bell = 0;
    side->own->pid = (uint32_t)getpid();
    side->own->state = ((side->own->state >> 8) + 1) << 8 | LIVE;
    lock(file, F_OFD_SETLK, F_UNLCK, 0);
    return "ok";
}

/* After every publication, and every release. */
static void wake(struct lane *peer) {
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&peer->bell, memory_order_relaxed) & ASLEEP && atomic_fetch_and(&peer->bell, ~ASLEEP) & ASLEEP)
        sem_post(&peer->semaphore);
}

/* Waits until the peer's cursor is no longer where it holds this side up. */
static void await(struct side *side, uint64_t in_the_way) {
    struct lane *own = side->own;
    while (atomic_load_explicit(&side->peer->cursor, memory_order_acquire) == in_the_way) {
        while (!sem_trywait(&own->semaphore)) {}
        atomic_fetch_or(&own->bell, ASLEEP | FENCE_FIRST);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&side->peer->cursor, memory_order_acquire) == in_the_way) {
            struct timespec end;
            clock_gettime(CLOCK_REALTIME, &end);
            end.tv_sec += 10;
            if (sem_timedwait(&own->semaphore, &end) && errno == ETIMEDOUT) {
                report("nobody woke it");
                exit(1);
            }
        }
        atomic_fetch_and(&own->bell, ~ASLEEP);
    }
}

static uint64_t receive(struct side *side) {
    uint64_t head = side->own->cursor;
    await(side, head);
    uint64_t number = atomic_load_explicit(&side->slots[head & (side->ring.capacity - 1)], memory_order_relaxed);
    atomic_store_explicit(&side->own->cursor, head + 1, memory_order_release);
    wake(side->peer);
    return number;
}

static void send(struct side *side, uint64_t number) {
    uint64_t tail = side->own->cursor;
    await(side, tail - side->ring.capacity);
    atomic_store_explicit(&side->slots[tail & (side->ring.capacity - 1)], number, memory_order_relaxed);
    /* As the slot has 8 bytes, and the cursor moves by one: the consumer may take the message from here. */
    atomic_store_explicit(&side->own->express[tail & 1][0], number, memory_order_release);
    atomic_store_explicit(&side->own->cursor, tail + 1, memory_order_release);
    wake(side->peer);
}

int main(void) {
    char line[512], role[16], path[400], text[64];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (fgets(line, sizeof line, stdin)) {
        unsigned n, m;
        uint64_t from, to;
        if (sscanf(line, "%*s %u", &n) != 1 || n > 1) return 2;
        struct side *side = &sides[n];
        if (sscanf(line, "join %*u %15s %399s", role, path) == 2) {
            report(join(side, !strcmp(role, "consumer"), path));
        } else if (sscanf(line, "recv %*u %lu %lu", &from, &to) == 2) {
            report("begin");
            while (from < to && receive(side) == from) from++;
            snprintf(text, sizeof text, "received %lu", from);
            report(text);
        } else if (sscanf(line, "send %*u %lu %lu", &from, &to) == 2) {
            report("begin");
            for (; from < to; from++) send(side, from);
            snprintf(text, sizeof text, "sent %lu", from);
            report(text);
        } else if (sscanf(line, "echo %*u %u %lu", &m, &to) == 2 && m <= 1) {
            report("begin");
            while (to-- > 0) send(&sides[m], receive(side));
            report("ok");
        } else if (!strncmp(line, "leave", 5)) {
            side->own->state = (side->own->state & ~0xffu) | CLOSED;
            wake(side->peer);
            report("ok");
        } else {
            return 2;
        }
    }
    return 0;
}
