/* CM_API marks what the shared library exports; everything else stays inside. */
#ifndef CROSSMAMBA_EXPORT_H
#define CROSSMAMBA_EXPORT_H

#if defined(__GNUC__)
#define CM_API __attribute__((visibility("default")))
#else
#define CM_API
#endif

#endif
