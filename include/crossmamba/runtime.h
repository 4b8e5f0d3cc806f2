/* What a long call needs from its surroundings: threads, where messages go, when to stop. */
#ifndef CROSSMAMBA_RUNTIME_H
#define CROSSMAMBA_RUNTIME_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cm_log_level { CM_LOG_INFO, CM_LOG_WARNING } cm_log_level;

/* One progress report: done of total units; text says more ("loss 0.31, MCC 0.71"). */
typedef struct cm_progress {
    const char *phase; /* "encode", "train", "predict" */
    double done, total;
    const char *unit; /* "pairs", "molecules" */
    const char *text; /* never NULL */
} cm_progress;

/* Zero-initialise for one thread, no messages, no stop. log and progress run in the calling thread; stop may
 * also be polled from other threads of the call. */
typedef struct cm_runtime {
    int threads; /* 0 or 1: one; results never depend on it */
    void (*log)(void *context, cm_log_level level, const char *line); /* NULL: silent */
    void (*progress)(void *context, const cm_progress *report);       /* NULL: silent */
    int (*stop)(void *context); /* polled; non-zero asks for a clean end. NULL: never */
    void *context;
    /* Folder of the embedding store for pretrained encoders; NULL: $CROSSMAMBA_STORE, else
     * $XDG_CACHE_HOME/crossmamba/store, else ~/.cache/crossmamba/store; "": none. */
    const char *store;
} cm_runtime;

#ifdef __cplusplus
}
#endif
#endif
