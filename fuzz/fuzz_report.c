/* eval/report: records of evaluations and, behind an 'A', audits, up to the page that is made of them.
 * Whatever texts a record holds, the page has no other elements than its own: as many scripts as the first
 * one. */
#include "input.h"

#include "base/file.h"
#include <crossmamba/report.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The least that is a record, for audits to stand beside. */
static const char record[] =
    "{\"format\":\"crossmamba "
    "evaluation\",\"format_version\":2,\"task\":\"rna-protein\",\"unit\":\"probability\","
    "\"affinity\":false,\"data\":{},\"split\":{},\"options\":{},\"models\":[\"mlp\"],\"baselines\":[],"
    "\"reference\":\"mlp\",\"results\":[{\"model\":\"mlp\",\"track\":\"honest\",\"fold\":\"all\",\"metrics\":"
    "{},"
    "\"pairs\":9}]}";
/* What stands for the chart library. */
static const char library[] = "/* Chart.js v3 */";

static char folder[64], page[96];

static void remove_page(void) {
    unlink(page);
    rmdir(folder);
}

static void make_folder(void) {
    const char *const places[] = {"/dev/shm", "/tmp"};
    for (int i = 0; i < 2 && !page[0]; i++) {
        snprintf(folder, sizeof folder, "%s/fuzz_report_XXXXXX", places[i]);
        if (mkdtemp(folder)) snprintf(page, sizeof page, "%s/page.html", folder);
    }
    if (!page[0] || atexit(remove_page) != 0) abort();
}

static int count_of(const cm_file_map *map, const char *text) {
    int count = 0;
    const char *at = (const char *)map->data, *end = at + map->size;
    size_t length = strlen(text);
    while ((at = memmem(at, (size_t)(end - at), text, length)) != NULL) {
        count++;
        at += length;
    }
    return count;
}

/* The elements that a text could add to the page. */
static void check_page(void) {
    static const char *const elements[] = {"<script", "</script", "<style", "<img", "<iframe"};
    static int expected[] = {-1, -1, -1, -1, -1};
    cm_file_map map;
    if (cm_file_map_open(&map, page, NULL) != CM_OK || map.size == 0) abort();
    for (int i = 0; i < 5; i++) {
        int count = count_of(&map, elements[i]);
        if (expected[i] < 0) expected[i] = count;
        if (count != expected[i]) abort();
    }
    cm_file_map_close(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bool is_audit = size > 0 && data[0] == 'A';
    const char *const records[] = {is_audit ? fuzz_file(0, record, sizeof record - 1)
                                            : fuzz_file(0, data, size)};
    const char *const audits[] = {is_audit ? fuzz_file(1, data + 1, size - 1) : NULL};
    cm_report_request request = {.records = records,
                                 .n_records = 1,
                                 .audits = audits,
                                 .n_audits = is_audit,
                                 .chart_library = fuzz_file(2, library, sizeof library - 1)};
    cm_error error = {0};
    if (!page[0]) make_folder();
    fuzz_limit_memory(size);
    if (cm_report_write(&request, page, &error) == CM_OK) check_page();
    return 0;
}
