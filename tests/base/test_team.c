/* The thread team: every index once, any size, after sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/team.h"
#include "fail_alloc.h"
#include <time.h>

enum { MAX_ITEMS = 2000 };

typedef struct count_job {
    int counts[MAX_ITEMS];
    int64_t items, grain;
    int size;
    int bad[16]; /* per member: a range cut elsewhere than at the grain */
} count_job;

static void count_body(void *context, int64_t begin, int64_t end, int member) {
    count_job *job = context;
    if (member < 0 || member >= job->size || begin >= end) job->bad[0] = 1;
    if (begin % job->grain != 0 || (end % job->grain != 0 && end != job->items)) job->bad[member] = 1;
    for (int64_t i = begin; i < end; i++) job->counts[i]++;
}

static void check_loop(cm_team *team, int64_t items, int64_t grain) {
    count_job job = {.items = items, .grain = grain, .size = cm_team_size(team)};
    cm_team_for(team, items, grain, count_body, &job);
    for (int i = 0; i < MAX_ITEMS; i++) assert_int_equal(job.counts[i], i < items);
    for (int i = 0; i < 16; i++) assert_int_equal(job.bad[i], 0);
}

static void each_index_once(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 8};
    static const int64_t items[] = {0, 1, 2, 7, 8, 9, 64, 1000, MAX_ITEMS}, grains[] = {1, 3, 64, 5000};
    for (int s = 0; s < 4; s++) {
        cm_team *team = cm_team_create(sizes[s]);
        assert_non_null(team);
        assert_int_equal(cm_team_size(team), sizes[s]);
        for (int i = 0; i < 9; i++) {
            for (int g = 0; g < 4; g++) check_loop(team, items[i], grains[g]);
        }
        cm_team_destroy(team);
    }
    check_loop(NULL, 100, 7);
}

typedef struct sum_job {
    int64_t parts[8];
} sum_job;

static void sum_body(void *context, int64_t begin, int64_t end, int member) {
    sum_job *job = context;
    for (int64_t i = begin; i < end; i++) job->parts[member] += i;
}

/* Every loop must be complete when cm_team_for returns, however short it is. */
static void many_short_loops(void **state) {
    (void)state;
    for (int size = 2; size <= 4; size += 2) {
        cm_team *team = cm_team_create(size);
        int rounds = size == 2 ? 5000 : 500; /* more members than processors are slow */
        for (int round = 0; round < rounds; round++) {
            sum_job job = {{0}};
            int64_t sum = 0;
            cm_team_for(team, 100, 1, sum_body, &job);
            for (int i = 0; i < 8; i++) sum += job.parts[i];
            assert_int_equal(sum, 4950);
        }
        cm_team_destroy(team);
    }
}

static void nap(long milliseconds) {
    struct timespec time = {.tv_nsec = milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void slow_member_body(void *context, int64_t begin, int64_t end, int member) {
    if (member > 0) nap(20);
    count_body(context, begin, end, member);
}

/* Workers that fell asleep wake up; a caller that fell asleep at the end wakes up. */
static void sleepers_wake(void **state) {
    (void)state;
    for (int size = 2; size <= 8; size *= 4) {
        cm_team *team = cm_team_create(size);
        for (int round = 0; round < 4; round++) {
            nap(10);
            count_job job = {.items = 100, .grain = 1, .size = size};
            cm_team_for(team, 100, 1, slow_member_body, &job);
            for (int i = 0; i < 100; i++) assert_int_equal(job.counts[i], 1);
        }
        cm_team_destroy(team);
    }
}

static void create_and_destroy(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) cm_team_destroy(cm_team_create(1 + i % 4));
    cm_team_destroy(NULL);
    assert_int_equal(cm_team_size(NULL), 1);
}

typedef struct range_job {
    int64_t begin[3], end[3];
} range_job;

static void range_body(void *context, int64_t begin, int64_t end, int member) {
    range_job *job = context;
    job->begin[member] = begin;
    job->end[member] = end;
}

static void huge_counts_do_not_overflow(void **state) {
    (void)state;
    cm_team *team = cm_team_create(3);
    range_job job;
    cm_team_for(team, INT64_MAX, 1, range_body, &job);
    assert_int_equal(job.begin[0], 0);
    assert_true(job.end[0] == job.begin[1] && job.end[1] == job.begin[2] && job.end[2] == INT64_MAX);
    cm_team_for(team, INT64_MAX, INT64_MAX / 2, range_body, &job); /* blocks: two whole ones and one item */
    assert_true(job.end[0] == INT64_MAX / 2 && job.begin[2] == INT64_MAX - 1 && job.end[2] == INT64_MAX);
    cm_team_destroy(team);
}

static void out_of_memory(void **state) {
    (void)state;
    for (long n = 0; n < 2; n++) {
        fail_alloc_from(n);
        cm_team *team = cm_team_create(2);
        assert_true(fail_alloc_stop());
        assert_null(team);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_once),
        cmocka_unit_test(many_short_loops),
        cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(create_and_destroy),
        cmocka_unit_test(huge_counts_do_not_overflow),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
