/* Messages and progress to the runtime's callbacks. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void cm_log(const cm_runtime *runtime, cm_log_level level, const char *format, ...) {
    if (!runtime || !runtime->log) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    runtime->log(runtime->context, level, line);
}

void cm_report(const cm_runtime *runtime, const char *phase, double done, double total, const char *unit,
               const char *text) {
    if (!runtime || !runtime->progress) return;
    cm_progress report = {
        .phase = phase, .done = done, .total = total, .unit = unit, .text = text ? text : ""};
    runtime->progress(runtime->context, &report);
}

bool cm_stopped(const cm_runtime *runtime) {
    return runtime && runtime->stop && runtime->stop(runtime->context);
}
