/* Messages and progress to the runtime's callbacks. runtime may be NULL. */
#ifndef CM_BASE_LOG_H
#define CM_BASE_LOG_H

#include <crossmamba/runtime.h>
#include <stdbool.h>

void cm_log(const cm_runtime *runtime, cm_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void cm_report(const cm_runtime *runtime, const char *phase, double done, double total, const char *unit,
               const char *text);

bool cm_stopped(const cm_runtime *runtime);

#endif
