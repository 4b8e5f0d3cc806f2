/* Small HDF5 files, good and bad, as makers of rows of bad input. */
#ifndef TESTS_H5_FILES_H
#define TESTS_H5_FILES_H

#include "bad_input.h"
#include <hdf5.h>
#include <math.h>

/* ---- types ---- */

static inline hid_t type_f32(void) {
    return H5Tcopy(H5T_IEEE_F32LE);
}

static inline hid_t type_f32_big(void) {
    return H5Tcopy(H5T_IEEE_F32BE);
}

static inline hid_t type_f64(void) {
    return H5Tcopy(H5T_IEEE_F64LE);
}

static inline hid_t type_i32(void) {
    return H5Tcopy(H5T_STD_I32LE);
}

static inline hid_t type_text(void) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 4);
    return type;
}

/* Sign, exponent and mantissa as bfloat16 has them. */
static inline hid_t type_bf16(void) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 7, 8, 0, 7);
    H5Tset_size(type, 2);
    return type;
}

static inline hid_t type_complex(void) {
    hid_t type = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(type, "r", 0, H5T_IEEE_F32LE);
    H5Tinsert(type, "i", 4, H5T_IEEE_F32LE);
    return type;
}

static inline hid_t type_array(void) {
    return H5Tarray_create2(H5T_IEEE_F32LE, 1, (const hsize_t[]){3});
}

static inline hid_t type_lists(void) {
    return H5Tvlen_create(H5T_IEEE_F32LE);
}

static inline hid_t type_reference(void) {
    return H5Tcopy(H5T_STD_REF_OBJ);
}

/* ---- files of datasets ---- */

enum { DEFLATE = 1, CHECKSUM = 2, PLUGIN = 4, OFFSETS = 8, OUTSIDE = 16, NO_DATA = 32 };

typedef struct h5_set {
    const char *name;
    int n_dims;
    hsize_t dims[9], chunk[9]; /* chunk[0] 0: not in chunks */
    hid_t (*type)(void);       /* NULL: 32-bit floats */
    unsigned how;
    const char *id;  /* NULL: no original_id */
    float first;     /* the others are 0 */
    int id_variable; /* the id as a text of variable length */
} h5_set;

static inline void put_id(hid_t dataset, const h5_set *set) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, set->id_variable ? H5T_VARIABLE : strlen(set->id) + 1);
    hid_t attribute = H5Acreate2(dataset, "original_id", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, set->id_variable ? (const void *)&set->id : set->id) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static inline hid_t creation(const h5_set *set) {
    hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    if (set->chunk[0] > 0) assert_true(H5Pset_chunk(how, set->n_dims, set->chunk) >= 0);
    if (set->how & DEFLATE) assert_true(H5Pset_deflate(how, 9) >= 0);
    if (set->how & CHECKSUM) assert_true(H5Pset_fletcher32(how) >= 0);
    if (set->how & PLUGIN) assert_true(H5Pset_filter(how, 32015, H5Z_FLAG_OPTIONAL, 0, NULL) >= 0);
    if (set->how & OFFSETS) assert_true(H5Pset_scaleoffset(how, H5Z_SO_FLOAT_DSCALE, 2) >= 0);
    if (set->how & OUTSIDE) assert_true(H5Pset_external(how, "/etc/passwd", 0, H5F_UNLIMITED) >= 0);
    return how;
}

/* What lies in chunks larger than itself may grow. */
static inline hid_t extent(const h5_set *set) {
    static const hsize_t most[9] = {H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
    if (set->n_dims < 0) return H5Screate(H5S_NULL);
    return H5Screate_simple(set->n_dims, set->dims, set->chunk[0] > set->dims[0] ? most : NULL);
}

static inline void put_set(hid_t file, const h5_set *set) {
    hid_t type = set->type ? set->type() : type_f32(), how = creation(set), space = extent(set);
    hid_t dataset = H5Dcreate2(file, set->name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    assert_true(dataset >= 0);
    size_t count = (size_t)H5Sget_simple_extent_npoints(space);
    if (!set->type && !(set->how & (NO_DATA | OUTSIDE)) && count > 0) {
        float *values = calloc(count, sizeof *values);
        assert_non_null(values);
        values[0] = set->first;
        assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        free(values);
    } else if (H5Tget_class(type) == H5T_FLOAT && !(set->how & NO_DATA)) {
        assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                             (const float[64]){set->first}) >= 0);
    }
    if (set->id) put_id(dataset, set);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(how);
    H5Tclose(type);
}

static inline hid_t create(const char *path) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

/* One row a file. */
static const h5_set files[][3] = {
    /* 0 */ {{.name = "a", .n_dims = 2, .dims = {2, 3}, .first = 1},
             {.name = "b", .n_dims = 2, .dims = {1, 3}}},
    {{.name = "a", .n_dims = 1, .dims = {4}, .first = 2}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_f32_big, .first = 3}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_bf16, .first = 4}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_f64}},
    /* 5 */ {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_i32}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_text}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_complex}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_array}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_lists}},
    /* 10 */ {{.name = "a", .n_dims = 1, .dims = {3}, .type = type_reference}},
    {{.name = "a", .n_dims = 0}},
    {{.name = "a", .n_dims = -1, .how = NO_DATA}},
    {{.name = "a", .n_dims = 3, .dims = {1, 2, 3}}},
    {{.name = "a", .n_dims = 1, .dims = {0}}},
    /* 15 */ {{.name = "a", .n_dims = 2, .dims = {0, 3}}},
    {{.name = "a", .n_dims = 2, .dims = {3, 0}}},
    {{.name = "a", .n_dims = 2, .dims = {2, 3}}, {.name = "b", .n_dims = 2, .dims = {2, 4}}},
    {{.name = "a", .n_dims = 2, .dims = {2, 3}}, {.name = "b", .n_dims = 1, .dims = {2}}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .first = NAN},
     {.name = "b", .n_dims = 1, .dims = {3}, .first = -INFINITY}},
    /* 20 */
    {{.name = "a", .n_dims = 1, .dims = {3}, .id = "x y", .id_variable = 1},
     {.name = "b", .n_dims = 1, .dims = {3}, .id = "P1/2"}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .id = "same"},
     {.name = "b", .n_dims = 1, .dims = {3}, .id = "same"}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .id = "b"}, {.name = "b", .n_dims = 1, .dims = {3}}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .id = ""}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .id = "\xc3(", .id_variable = 1}},
    /* 25 */ {{.name = "\xff", .n_dims = 1, .dims = {3}}},
    {{.name = "a", .n_dims = 2, .dims = {40, 3}, .chunk = {16, 3}, .how = DEFLATE, .first = 5}},
    {{.name = "a", .n_dims = 2, .dims = {40, 3}, .chunk = {16, 3}, .how = PLUGIN}},
    {{.name = "a", .n_dims = 2, .dims = {40, 3}, .chunk = {16, 3}, .how = CHECKSUM}},
    {{.name = "a", .n_dims = 2, .dims = {40, 3}, .chunk = {16, 3}, .how = OFFSETS}},
    /* 30 */ {{.name = "a", .n_dims = 1, .dims = {3}, .how = OUTSIDE}},
    {{.name = "a", .n_dims = 2, .dims = {1000000000, 1024}, .chunk = {16, 1024}, .how = NO_DATA}},
    {{.name = "a", .n_dims = 1, .dims = {3}, .how = NO_DATA}},
    {{.name = "a",
      .n_dims = 2,
      .dims = {(hsize_t)1 << 40, (hsize_t)1 << 40},
      .chunk = {16, 16},
      .how = NO_DATA}},
    {{.name = "a", .n_dims = 2, .dims = {65536, 65536}, .chunk = {16, 16}, .how = NO_DATA}},
    /* 35 */ {{.name = "a", .n_dims = 2, .dims = {2, 3}, .chunk = {2048, 1024}, .how = DEFLATE, .first = 6}},
    {{.name = "a", .n_dims = 2, .dims = {2, 3}, .chunk = {2049, 1024}, .how = DEFLATE}},
    {{.name = "a", .n_dims = 2, .dims = {5000, 1024}, .chunk = {1000, 1024}, .how = DEFLATE}},
    {{.name = "a", .n_dims = 2, .dims = {2000, 1024}, .chunk = {1000, 1024}, .how = DEFLATE},
     {.name = "b", .n_dims = 2, .dims = {2000, 1024}, .chunk = {1000, 1024}, .how = DEFLATE}},
};

static inline void make_file(const bad_row *row, const char *path) {
    hid_t file = create(path);
    for (const h5_set *set = files[row->number]; set < files[row->number] + 3 && set->name; set++)
        put_set(file, set);
    H5Fclose(file);
}

/* ---- what is no dataset ---- */

enum {
    SOFT,
    CYCLE,
    LOOP,
    DANGLING,
    EXTERNAL,
    GROUP,
    HARD_CYCLE,
    NAMED_TYPE,
    VIRTUAL,
    NUMBER_ID,
    LIST_ID,
    EMPTY
};

static inline void put_virtual(hid_t file) {
    const hsize_t dims[] = {3};
    hid_t how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);
    assert_true(H5Pset_virtual(how, space, "/etc/passwd", "0", space) >= 0);
    H5Dclose(H5Dcreate2(file, "a", H5T_IEEE_F32LE, space, H5P_DEFAULT, how, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(how);
}

/* An id of n numbers. */
static inline void put_numbers_as_id(hid_t file, hsize_t n) {
    put_set(file, &(h5_set){.name = "a", .n_dims = 1, .dims = {3}});
    hid_t dataset = H5Dopen2(file, "a", H5P_DEFAULT), space = H5Screate_simple(1, &n, NULL);
    hid_t type = n == 1 ? H5Tcopy(H5T_STD_I32LE) : type_text();
    H5Aclose(H5Acreate2(dataset, "original_id", type, space, H5P_DEFAULT, H5P_DEFAULT));
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
}

static inline void make_odd(const bad_row *row, const char *path) {
    hid_t file = create(path), other = -1;
    switch (row->number) {
    case SOFT:
        put_set(file, &(h5_set){.name = "b", .n_dims = 1, .dims = {3}});
        H5Lcreate_soft("/b", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case CYCLE:
        H5Lcreate_soft("/b", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("/a", file, "b", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case LOOP:
        H5Lcreate_soft("/a", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case DANGLING:
        H5Lcreate_soft("/nothing", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case EXTERNAL:
        H5Lcreate_external("/etc/passwd", "/0", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case GROUP:
        other = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case HARD_CYCLE:
        H5Lcreate_hard(file, "/", file, "a", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case NAMED_TYPE:
        other = type_f64();
        H5Tcommit2(file, "a", other, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case VIRTUAL:
        put_virtual(file);
        break;
    case NUMBER_ID:
        put_numbers_as_id(file, 1);
        break;
    case LIST_ID:
        put_numbers_as_id(file, 2);
        break;
    default:
        break;
    }
    if (other >= 0) H5Oclose(other);
    H5Fclose(file);
}

/* row->number datasets. */
static inline void make_many(const bad_row *row, const char *path) {
    hid_t file = create(path);
    for (size_t i = 0; i < row->number; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        put_set(file, &(h5_set){.name = name, .n_dims = 1, .dims = {1}});
    }
    H5Fclose(file);
}

/* The first file with the first dimension of its first dataset (2, in 8 bytes) replaced. */
static inline void make_dimension(const bad_row *row, const char *path) {
    static const unsigned char dims[] = {2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    size_t size = 0;
    const uint64_t value = row->number;
    make_file(&(bad_row){.number = 0}, path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char bytes[16384];
    size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    char *at = memmem(bytes, size, dims, sizeof dims);
    assert_non_null(at);
    for (; at; at = memmem(at, size - (size_t)(at - bytes), dims, sizeof dims))
        memcpy(at, &value, sizeof value);
    bad_write(path, bytes, size);
}

#endif
