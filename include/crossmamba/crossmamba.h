/* crossmamba: predicts from sequence alone whether and how strongly an RNA binds a protein, a small
 * molecule or another RNA. This header includes the whole public interface. */
#ifndef CROSSMAMBA_CROSSMAMBA_H
#define CROSSMAMBA_CROSSMAMBA_H

#include <crossmamba/audit.h>
#include <crossmamba/dataset.h>
#include <crossmamba/embed.h>
#include <crossmamba/error.h>
#include <crossmamba/eval.h>
#include <crossmamba/export.h>
#include <crossmamba/model.h>
#include <crossmamba/options.h>
#include <crossmamba/predict.h>
#include <crossmamba/report.h>
#include <crossmamba/runtime.h>
#include <crossmamba/tables.h>
#include <crossmamba/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, for example "0.1.0". */
CM_API const char *cm_version(void);

#ifdef __cplusplus
}
#endif
#endif
