/* The header is magic, version, length and a Python dict of the three keys descr, fortran_order and shape, in
 * any order. The parser knows the literals that these keys can have and nothing else of Python. */
#include "io/npy_header.h"

#include "base/alloc.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* numpy's own limit (max_header_size): only structured types need more. */
enum { MAX_HEADER = 10000 };

static const struct {
    const char *descr;
    cm_dtype dtype;
    bool written;
} types[] = {{"|b1", CM_DTYPE_BOOL, false}, {"|u1", CM_DTYPE_U8, false},  {"|i1", CM_DTYPE_I8, false},
             {"<i2", CM_DTYPE_I16, false},  {"<u2", CM_DTYPE_U16, false}, {"<f2", CM_DTYPE_F16, true},
             {"<i4", CM_DTYPE_I32, true},   {"<u4", CM_DTYPE_U32, false}, {"<f4", CM_DTYPE_F32, true},
             {"<f8", CM_DTYPE_F64, true},   {"<i8", CM_DTYPE_I64, true},  {"<u8", CM_DTYPE_U64, false}};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* What the letter after the byte order means where it is refused. */
static const struct {
    char letter;
    const char *what;
} refused[] = {{'O', "Python objects, which only pickle reads"},
               {'U', "text"},
               {'S', "text"},
               {'a', "text"},
               {'T', "text"},
               {'V', "raw or structured records"},
               {'c', "complex numbers"},
               {'M', "dates"},
               {'m', "time spans"}};

typedef struct np_reader {
    const char *begin, *at, *end;
    const char *path;
    cm_text place;
    cm_error *error;
} np_reader;

static cm_status bad(const np_reader *reader, const char *expected, const char *found) {
    return cm_fail(reader->error, CM_DATA, reader->path, reader->place.text, expected, "%s", found);
}

/* Something in the dict that is no part of it. */
static cm_status bad_syntax(const np_reader *reader, const char *expected) {
    if (reader->at == reader->end) return bad(reader, expected, "the end of the header");
    return bad(reader, expected,
               cm_format("'%c' at byte %td of the dict", *reader->at, reader->at - reader->begin).text);
}

static void skip_blanks(np_reader *reader) {
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

/* The next character behind blanks, consumed when it is c. */
static bool take(np_reader *reader, char c) {
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != c) return false;
    reader->at++;
    return true;
}

static bool take_word(np_reader *reader, const char *word) {
    size_t length = strlen(word);
    skip_blanks(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0) return false;
    reader->at += length;
    return true;
}

enum { MAX_STRING = 31 };

/* A short string in either kind of quotes, without escapes. */
static cm_status read_string(np_reader *reader, char text[MAX_STRING + 1]) {
    skip_blanks(reader);
    if (reader->at == reader->end || (*reader->at != '\'' && *reader->at != '"'))
        return bad_syntax(reader, "a string");
    const char quote = *reader->at, *begin = reader->at + 1;
    const char *end = memchr(begin, quote, (size_t)(reader->end - begin));
    if (!end || end - begin > MAX_STRING || memchr(begin, '\\', (size_t)(end - begin)) ||
        memchr(begin, '\0', (size_t)(end - begin)))
        return bad(reader, "a string of at most 31 plain bytes", "another one");
    memcpy(text, begin, (size_t)(end - begin));
    text[end - begin] = '\0';
    reader->at = end + 1;
    return CM_OK;
}

static cm_status read_descr(np_reader *reader, cm_tensor *tensor) {
    static const char expected[] = "a plain little-endian type (<f4 <f2 <f8 <i4 <i8 ..)";
    char text[MAX_STRING + 1];
    skip_blanks(reader);
    if (reader->at < reader->end && *reader->at == '[')
        return bad(reader, expected, "a structured type (descr is a list)");
    CM_TRY(read_string(reader, text));
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(text, types[i].descr) == 0) {
            tensor->dtype = types[i].dtype;
            return CM_OK;
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (text[0] && text[1] == refused[i].letter)
            return bad(reader, expected, cm_format("descr %s: %s", text, refused[i].what).text);
    }
    return bad(reader, expected, cm_format(text[0] == '>' ? "descr %s: big-endian" : "descr %s", text).text);
}

static cm_status read_order(np_reader *reader) {
    if (take_word(reader, "False")) return CM_OK;
    if (take_word(reader, "True"))
        return bad(reader, "fortran_order False (numpy.ascontiguousarray)", "Fortran order");
    return bad_syntax(reader, "fortran_order True or False");
}

/* A whole number that is not negative, as Python writes it. */
static cm_status read_dim(np_reader *reader, int64_t *dim) {
    static const char expected[] = "dimensions that are whole numbers and not negative";
    skip_blanks(reader);
    const char *begin = reader->at;
    int64_t value = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *reader->at - '0', &value))
            return bad(reader, expected, "a dimension above 9223372036854775807");
        reader->at++;
    }
    if (reader->at == begin) return bad_syntax(reader, expected);
    if (*begin == '0' && reader->at - begin > 1) return bad(reader, expected, "a leading zero");
    *dim = value;
    return CM_OK;
}

/* A tuple; one of a single number needs its comma. */
static cm_status read_shape(np_reader *reader, cm_tensor *tensor) {
    static const char expected[] = "a shape such as (3, 4), (3,) or ()";
    bool comma = true;
    tensor->n_dims = 0;
    if (!take(reader, '(')) return bad_syntax(reader, expected);
    while (!take(reader, ')')) {
        if (!comma) return bad_syntax(reader, expected);
        if (tensor->n_dims == CM_TENSOR_MAX_DIMS)
            return bad(reader, cm_format("at most %d dimensions", CM_TENSOR_MAX_DIMS).text, "more");
        CM_TRY(read_dim(reader, &tensor->dims[tensor->n_dims++]));
        comma = take(reader, ',');
    }
    if (tensor->n_dims == 1 && !comma) return bad(reader, expected, "a number in parentheses");
    return CM_OK;
}

static const char *const keys[] = {"descr", "fortran_order", "shape"};
enum { N_KEYS = 3 };

static cm_status read_item(np_reader *reader, cm_tensor *tensor, unsigned *seen) {
    char key[MAX_STRING + 1];
    int k = 0;
    CM_TRY(read_string(reader, key));
    while (k < N_KEYS && strcmp(key, keys[k]) != 0) k++;
    if (k == N_KEYS)
        return bad(reader, "the keys descr, fortran_order, shape", cm_format("key %s", key).text);
    if (*seen & 1U << k) return bad(reader, "each key once", cm_format("key %s twice", key).text);
    *seen |= 1U << k;
    if (!take(reader, ':')) return bad_syntax(reader, "a colon after the key");
    if (k == 0) return read_descr(reader, tensor);
    return k == 1 ? read_order(reader) : read_shape(reader, tensor);
}

static cm_status read_dict(np_reader *reader, cm_tensor *tensor) {
    unsigned seen = 0;
    bool comma = true;
    if (!take(reader, '{')) return bad_syntax(reader, "a Python dict");
    while (!take(reader, '}')) {
        if (!comma) return bad_syntax(reader, "a comma or the end of the dict");
        CM_TRY(read_item(reader, tensor, &seen));
        comma = take(reader, ',');
    }
    for (int k = 0; k < N_KEYS; k++) {
        if (!(seen & 1U << k))
            return bad(reader, "the keys descr, fortran_order, shape", cm_format("no %s", keys[k]).text);
    }
    skip_blanks(reader);
    return reader->at == reader->end ? CM_OK : bad_syntax(reader, "blanks after the dict");
}

/* The place of the dict in the image. */
static cm_status read_preamble(np_reader *reader, const unsigned char *image, size_t size) {
    if (size < 10 || memcmp(image, "\x93NUMPY", 6) != 0)
        return bad(reader, "a NumPy file", size < 10 ? cm_format("%zu bytes", size).text : "other bytes");
    int major = image[6], minor = image[7];
    if (major < 1 || major > 3 || minor != 0)
        return bad(reader, "format version 1.0, 2.0 or 3.0", cm_format("%d.%d", major, minor).text);
    size_t first = major == 1 ? 10 : 12, length = image[8] | (size_t)image[9] << 8;
    if (size < first) return bad(reader, "a NumPy file", cm_format("%zu bytes", size).text);
    if (major > 1) length |= (size_t)image[10] << 16 | (size_t)image[11] << 24;
    if (length > size - first)
        return bad(reader, cm_format("at most the %zu bytes that follow", size - first).text,
                   cm_format("header length %zu", length).text);
    if (length > MAX_HEADER)
        return bad(reader, cm_format("at most %d, as numpy has it", MAX_HEADER).text,
                   cm_format("header length %zu", length).text);
    reader->begin = reader->at = (const char *)image + first;
    reader->end = reader->begin + length;
    return CM_OK;
}

/* False when the bytes do not fit into size_t. */
static bool shape_bytes(const cm_tensor *tensor, size_t *bytes) {
    size_t product = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        if (tensor->dims[i] < 0 || !cm_size_mul(product, (size_t)tensor->dims[i], &product)) return false;
    }
    return cm_size_mul(product, cm_dtype_bytes(tensor->dtype), bytes);
}

cm_status cm_npy_header_read(const unsigned char *image, size_t size, const char *path, const char *member,
                             cm_tensor *tensor, cm_error *error) {
    np_reader reader = {
        .path = path, .error = error, .place = member ? cm_format("member %s", member) : cm_format("header")};
    CM_TRY(read_preamble(&reader, image, size));
    CM_TRY(read_dict(&reader, tensor));
    size_t wanted, found = size - (size_t)(reader.end - (const char *)image);
    if (!shape_bytes(tensor, &wanted)) return bad(&reader, "a shape that fits", "an overflow");
    if (wanted != found)
        return bad(&reader, cm_format("%zu bytes by shape and type", wanted).text,
                   cm_format("%zu bytes of data", found).text);
    tensor->bytes = wanted;
    tensor->data = wanted > 0 ? reader.end : NULL;
    return CM_OK;
}

static const char *descr_of(cm_dtype dtype) {
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].written && types[i].dtype == dtype) return types[i].descr;
    }
    return NULL;
}

cm_status cm_npy_header_write(const cm_tensor *tensor, const char *path, char header[CM_NPY_HEADER_MAX],
                              size_t *length, cm_error *error) {
    enum { PREAMBLE = 10, ALIGN = 64 };
    size_t wanted;
    const char *place = tensor->name && tensor->name[0] ? tensor->name : NULL;
    const char *descr = descr_of(tensor->dtype);
    if (!descr) return cm_fail(error, CM_USAGE, path, place, "F32, F16, F64, I32 or I64", "another dtype");
    if (tensor->n_dims < 0 || tensor->n_dims > CM_TENSOR_MAX_DIMS || !shape_bytes(tensor, &wanted) ||
        wanted != tensor->bytes)
        return cm_fail(error, CM_USAGE, path, place, "a shape that gives the bytes", "%zu bytes",
                       tensor->bytes);
    char *at = header + PREAMBLE, *end = header + CM_NPY_HEADER_MAX;
    at += snprintf(at, (size_t)(end - at), "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < tensor->n_dims; i++)
        at += snprintf(at, (size_t)(end - at), "%s%" PRId64, i > 0 ? ", " : "", tensor->dims[i]);
    at += snprintf(at, (size_t)(end - at), "%s), }", tensor->n_dims == 1 ? "," : "");
    size_t used = (size_t)(at - header) + 1, total = (used + ALIGN - 1) / ALIGN * ALIGN;
    memset(at, ' ', total - used);
    header[total - 1] = '\n';
    memcpy(header, "\x93NUMPY\1\0", 8);
    header[8] = (char)((total - PREAMBLE) & 0xff);
    header[9] = (char)((total - PREAMBLE) >> 8);
    *length = total;
    return CM_OK;
}
