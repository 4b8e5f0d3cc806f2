/* io/table: TSV and CSV, plain or gzip. */
#include "input.h"

#include "io/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cm_table *table = NULL;
    cm_error error = {0};
    bool more = true;
    int column = -1;
    fuzz_limit_memory(size);
    if (cm_table_open(&table, fuzz_file(0, data, size), &error) != CM_OK) return 0;
    cm_table_require(table, "label", &column, &error);
    while (cm_table_next(table, &more, &error) == CM_OK && more) {
        double value = 0;
        fuzz_touch(cm_table_cell(table, 0), strlen(cm_table_cell(table, 0)));
        if (column < 0) continue;
        if (cm_table_number(table, column, &value, &error) == CM_OK && !isfinite(value)) abort();
    }
    cm_table_close(table);
    return 0;
}
