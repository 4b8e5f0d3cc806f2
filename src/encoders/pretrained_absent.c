/* What a build without the engines of pretrained encoders says. Weak: the engines replace it. */
#include "encoders/pretrained.h"

#define CM_WEAK __attribute__((weak))

CM_WEAK cm_status cm_pretrained_open(cm_pretrained **pretrained, const cm_family *family,
                                     const char *reference, const cm_pretrained_options *options,
                                     cm_team *team, cm_error *error) {
    (void)pretrained, (void)family, (void)options, (void)team;
    return cm_fail(error, CM_MODEL, reference, NULL, "a build with pretrained encoders", "none");
}

CM_WEAK void cm_pretrained_close(cm_pretrained *pretrained) {
    (void)pretrained;
}

CM_WEAK const char *cm_pretrained_id(const cm_pretrained *pretrained) {
    (void)pretrained;
    return "";
}

CM_WEAK int64_t cm_pretrained_width(const cm_pretrained *pretrained) {
    (void)pretrained;
    return 0;
}

CM_WEAK int cm_pretrained_layers(const cm_pretrained *pretrained) {
    (void)pretrained;
    return 0;
}

CM_WEAK int cm_pretrained_layer(const cm_pretrained *pretrained) {
    (void)pretrained;
    return 0;
}

CM_WEAK const char *cm_pretrained_sha256(const cm_pretrained *pretrained) {
    (void)pretrained;
    return "";
}

CM_WEAK const cm_family *cm_pretrained_family(const cm_pretrained *pretrained) {
    (void)pretrained;
    return NULL;
}

CM_WEAK cm_precision cm_pretrained_precision(const cm_pretrained *pretrained) {
    (void)pretrained;
    return CM_F32;
}

CM_WEAK int64_t cm_pretrained_rows(const cm_pretrained *pretrained, const char *text, int64_t length) {
    (void)pretrained, (void)text, (void)length;
    return 1;
}

CM_WEAK cm_status cm_pretrained_encode(cm_pretrained *pretrained, cm_pretrained_item *items, int64_t n,
                                       const cm_runtime *runtime, cm_error *error) {
    (void)pretrained, (void)items, (void)n, (void)runtime;
    return cm_fail(error, CM_MODEL, NULL, NULL, "a build with pretrained encoders", "none");
}

CM_WEAK cm_status cm_pretrained_compare(cm_pretrained *exact, cm_pretrained *other,
                                        cm_precision_report *report, cm_error *error) {
    (void)exact, (void)other, (void)report;
    return cm_fail(error, CM_MODEL, NULL, NULL, "a build with pretrained encoders", "none");
}

CM_WEAK bool cm_precision_is_fast(cm_precision precision) {
    (void)precision;
    return false;
}
