/* The little of Unicode that tokenizers need: decoding, \p{L}, \p{N}, white space, upper case. Letters and
 * numbers are those of Unicode 14.0 (tools/make_unicode.py); later additions count as neither. */
#ifndef CM_BIO_UNICODE_H
#define CM_BIO_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cm_unicode_range {
    uint32_t first, last;
} cm_unicode_range;

/* A code point above ASCII whose upper case has several characters or an ASCII letter; 0: not ASCII. */
typedef struct cm_unicode_upper {
    uint32_t code;
    uint8_t count;
    char letters[3];
} cm_unicode_upper;

extern const size_t cm_unicode_letters_count, cm_unicode_numbers_count, cm_unicode_uppers_count;
extern const cm_unicode_range cm_unicode_letters[], cm_unicode_numbers[];
extern const cm_unicode_upper cm_unicode_uppers[];

enum { CM_UNICODE_BROKEN = -1 };

/* The code point at text[left], left > 0, and its bytes in *size: a byte that begins no well-formed sequence
 * is CM_UNICODE_BROKEN with size 1. */
int32_t cm_unicode_next(const char *text, size_t left, size_t *size);

bool cm_unicode_letter(int32_t code); /* \p{L} */
bool cm_unicode_number(int32_t code); /* \p{N} */
/* White_Space; with separators also U+001C to U+001F, which Python's str.split takes for blanks too. */
bool cm_unicode_space(int32_t code, bool separators);

/* The entry of a code point, NULL when its upper case is one character above ASCII. */
const cm_unicode_upper *cm_unicode_find_upper(int32_t code);

#endif
