/* The model file: card and tensors. A file that opens has finite weights and a card that can be printed. */
#include "input.h"

#include <crossmamba/model.h>
#include <stdlib.h>
#include <string.h>

#ifdef FUZZ_LIBFUZZER
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    return fuzz_mutate_header(data, size, max_size, seed);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cm_model *model = NULL;
    cm_error error = {0};
    fuzz_limit_memory(size);
    if (cm_model_open(&model, fuzz_file(0, data, size), &error) != CM_OK) return 0;
    if (strlen(cm_model_card(model)) == 0 || strlen(cm_model_card_text(model)) == 0) abort();
    if (!cm_model_task(model) || !cm_model_options(model)) abort();
    cm_model_close(model);
    return 0;
}
