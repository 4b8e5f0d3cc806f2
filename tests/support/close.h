/* assert_close(a, b, tolerance): |a - b| <= tolerance, in double precision; a NaN is close to nothing, an
 * infinity to itself alone. cmocka's assert_float_equal is not used: it compares as float, and takes NaN and
 * infinities for equal to everything. Include after cmocka.h. */
#ifndef TESTS_CLOSE_H
#define TESTS_CLOSE_H

#include <math.h>

static inline void close_or_fail(double a, double b, double tolerance, const char *what, const char *file,
                                 int line) {
    if (a == b || fabs(a - b) <= tolerance) return;
    print_error("%s is %.17g, expected %.17g within %g\n", what, a, b, tolerance);
    _fail(file, line);
}
#define assert_close(a, b, tolerance) close_or_fail(a, b, tolerance, #a, __FILE__, __LINE__)

#endif
