/* The thread team. The caller publishes a job and raises the generation; workers that spin see it at once,
 * workers that sleep are woken. The sleeper's "count me, then look again" and the caller's "raise, then look
 * for sleepers" are sequentially consistent, so that one of the two sees the other and no wake-up is lost;
 * the caller's wait for the end works the same way. */
#include "base/team.h"

#include "base/alloc.h"
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

/* About 0.3 to 1 ms (a pause takes 13 to 50 ns): longer than the gaps between the loops of a training step,
 * because waking a sleeper costs some 50 microseconds. */
enum { SPIN_PAUSES = 20000, SPIN_YIELDS = 30 };

typedef struct team_worker {
    cm_team *team;
    int member;
    pthread_t thread;
} team_worker;

struct cm_team {
    int size;     /* workers and the caller */
    bool crowded; /* more members than processors: waiting members give theirs away */
    team_worker *workers;
    pthread_mutex_t mutex;
    pthread_cond_t start, finish;
    /* the job, written before the generation is raised; body NULL: end */
    cm_team_body body;
    void *context;
    int64_t items, grain;
    _Alignas(64) atomic_uint generation;
    atomic_int sleepers;
    _Alignas(64) atomic_int pending; /* members that have not done their part */
    atomic_bool waiting;             /* the caller sleeps */
};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One turn of a spin loop; false when it is time to sleep. */
static bool spin(const cm_team *team, int turn) {
    if (team->crowded) {
        sched_yield();
        return turn < SPIN_YIELDS;
    }
    pause_briefly();
    return turn < SPIN_PAUSES;
}

static void run_part(const cm_team *team, int member) {
    int64_t blocks = team->items / team->grain + (team->items % team->grain != 0);
    int64_t each = blocks / team->size, rest = blocks % team->size;
    int64_t first = member * each + (member < rest ? member : rest);
    int64_t last = first + each + (member < rest);
    if (first == last) return;
    int64_t end = last == blocks ? team->items : last * team->grain;
    team->body(team->context, first * team->grain, end, member);
}

static void await_generation(cm_team *team, unsigned seen) {
    for (int turn = 0; spin(team, turn); turn++) {
        if (atomic_load_explicit(&team->generation, memory_order_acquire) != seen) return;
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->generation) == seen) pthread_cond_wait(&team->start, &team->mutex);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void raise_generation(cm_team *team) {
    atomic_fetch_add(&team->generation, 1);
    if (atomic_load(&team->sleepers) == 0) return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->start);
    pthread_mutex_unlock(&team->mutex);
}

static void end_part(cm_team *team) {
    if (atomic_fetch_sub(&team->pending, 1) > 1 || !atomic_load(&team->waiting)) return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_signal(&team->finish);
    pthread_mutex_unlock(&team->mutex);
}

static void await_end(cm_team *team) {
    for (int turn = 0; spin(team, turn); turn++) {
        if (atomic_load_explicit(&team->pending, memory_order_acquire) == 0) return;
    }
    pthread_mutex_lock(&team->mutex);
    atomic_store(&team->waiting, true);
    while (atomic_load(&team->pending) > 0) pthread_cond_wait(&team->finish, &team->mutex);
    atomic_store(&team->waiting, false);
    pthread_mutex_unlock(&team->mutex);
}

static void *work(void *argument) {
    const team_worker *worker = argument;
    cm_team *team = worker->team;
    for (unsigned seen = 0;; seen++) {
        await_generation(team, seen);
        if (!team->body) return NULL;
        run_part(team, worker->member);
        end_part(team);
    }
}

/* Fewer processors than members? Those the process may use count, not those of the machine. */
static bool is_crowded(int size) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return true;
    return size > CPU_COUNT(&set);
}

/* Starts the workers with signals blocked, so that signals reach the program's own threads; those that report
 * a fault of the thread itself stay open. A team that could not be filled is smaller. */
static void start_workers(cm_team *team, int threads) {
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    team->crowded = is_crowded(threads);
    int size = 1;
    for (; size < threads; size++) {
        team_worker *worker = &team->workers[size - 1];
        *worker = (team_worker){.team = team, .member = size};
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    team->size = size;
}

cm_team *cm_team_create(int threads) {
    assert(threads >= 1);
    cm_team *team = cm_new_aligned(1, sizeof *team);
    if (!team) return NULL;
    memset(team, 0, sizeof *team);
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->start, NULL);
    pthread_cond_init(&team->finish, NULL);
    team->size = 1;
    team->workers = cm_new((size_t)threads - 1, sizeof *team->workers);
    if (team->workers) start_workers(team, threads);
    if (!team->workers || (threads > 1 && team->size == 1)) {
        cm_team_destroy(team);
        return NULL;
    }
    return team;
}

void cm_team_destroy(cm_team *team) {
    if (!team) return;
    team->body = NULL;
    raise_generation(team);
    for (int i = 0; i < team->size - 1; i++) pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->finish);
    pthread_cond_destroy(&team->start);
    pthread_mutex_destroy(&team->mutex);
    cm_free(team->workers);
    cm_free(team);
}

int cm_team_size(const cm_team *team) {
    return team ? team->size : 1;
}

void cm_team_for(cm_team *team, int64_t items, int64_t grain, cm_team_body body, void *context) {
    assert(grain > 0);
    if (items <= 0) return;
    if (!team || team->size == 1 || items <= grain) {
        body(context, 0, items, 0);
        return;
    }
    assert(atomic_load(&team->pending) == 0); /* a nested loop is a mistake of the program */
    team->body = body;
    team->context = context;
    team->items = items;
    team->grain = grain;
    atomic_store(&team->pending, team->size);
    raise_generation(team);
    run_part(team, 0);
    end_part(team);
    await_end(team);
}
