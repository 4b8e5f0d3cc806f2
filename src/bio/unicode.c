/* Decoding and classes of characters. */
#include "bio/unicode.h"

static bool is_continuation(const char *text, size_t left, size_t i) {
    return i < left && ((unsigned char)text[i] & 0xC0) == 0x80;
}

int32_t cm_unicode_next(const char *text, size_t left, size_t *size) {
    const unsigned char *bytes = (const unsigned char *)text;
    *size = 1;
    if (bytes[0] < 0x80) return bytes[0];
    size_t length = bytes[0] >= 0xF0 ? 4 : bytes[0] >= 0xE0 ? 3 : 2;
    if (bytes[0] < 0xC2 || bytes[0] > 0xF4) return CM_UNICODE_BROKEN;
    int32_t code = bytes[0] & (0x7F >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(text, left, i)) return CM_UNICODE_BROKEN;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return CM_UNICODE_BROKEN;
    *size = length;
    return code;
}

static bool in_ranges(const cm_unicode_range *ranges, size_t count, int32_t code) {
    size_t low = 0, high = count;
    if (code < 0) return false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < (uint32_t)code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= (uint32_t)code;
}

bool cm_unicode_letter(int32_t code) {
    if (code < 0x80) return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    return in_ranges(cm_unicode_letters, cm_unicode_letters_count, code);
}

bool cm_unicode_number(int32_t code) {
    if (code < 0x80) return code >= '0' && code <= '9';
    return in_ranges(cm_unicode_numbers, cm_unicode_numbers_count, code);
}

bool cm_unicode_space(int32_t code, bool separators) {
    if (code < 0x80)
        return code == ' ' || (code >= 9 && code <= 13) || (separators && code >= 0x1C && code <= 0x1F);
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

const cm_unicode_upper *cm_unicode_find_upper(int32_t code) {
    size_t low = 0, high = cm_unicode_uppers_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cm_unicode_uppers[middle].code < (uint32_t)code)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < cm_unicode_uppers_count && cm_unicode_uppers[low].code == (uint32_t)code;
    return found ? &cm_unicode_uppers[low] : NULL;
}
