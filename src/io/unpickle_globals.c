/* The globals that a plain checkpoint may name, and what is made of them: the forms that torch._utils and
 * torch.serialization of PyTorch write. */
#include "io/unpickle.h"

#include "base/alloc.h"
#include <inttypes.h>
#include <string.h>

typedef enum global_use {
    USE_STORAGE,   /* a type of storage */
    USE_TENSOR,    /* (storage, offset, size, strides, ..) -> tensor */
    USE_PARAMETER, /* (tensor, ..) -> the tensor */
    USE_DICT,      /* () or a list of pairs -> dict */
    USE_SIZE,      /* (tuple) -> the tuple */
    USE_OTHER      /* any arguments -> an object that is not kept */
} global_use;

typedef struct global_row {
    const char *name;
    global_use use;
    cm_dtype dtype; /* of a storage */
} global_row;

static const global_row globals[] = {
    {"torch._utils._rebuild_tensor_v2", USE_TENSOR, 0},
    {"torch._utils._rebuild_tensor", USE_TENSOR, 0},
    {"torch._utils._rebuild_parameter", USE_PARAMETER, 0},
    {"torch.FloatStorage", USE_STORAGE, CM_DTYPE_F32},
    {"torch.HalfStorage", USE_STORAGE, CM_DTYPE_F16},
    {"torch.BFloat16Storage", USE_STORAGE, CM_DTYPE_BF16},
    {"torch.DoubleStorage", USE_STORAGE, CM_DTYPE_F64},
    {"torch.LongStorage", USE_STORAGE, CM_DTYPE_I64},
    {"torch.IntStorage", USE_STORAGE, CM_DTYPE_I32},
    {"torch.ShortStorage", USE_STORAGE, CM_DTYPE_I16},
    {"torch.CharStorage", USE_STORAGE, CM_DTYPE_I8},
    {"torch.ByteStorage", USE_STORAGE, CM_DTYPE_U8},
    {"torch.BoolStorage", USE_STORAGE, CM_DTYPE_BOOL},
    {"collections.OrderedDict", USE_DICT, 0},
    {"torch.Size", USE_SIZE, 0},
    {"torch.device", USE_OTHER, 0},
    {"torch.float32", USE_OTHER, 0},
    {"torch.float16", USE_OTHER, 0},
    {"torch.bfloat16", USE_OTHER, 0},
    {"torch.float64", USE_OTHER, 0},
    {"torch.int64", USE_OTHER, 0},
    {"argparse.Namespace", USE_OTHER, 0},
    {"_codecs.encode", USE_OTHER, 0}, /* how protocol 2 writes bytes */
#define BUILT_IN(name)                    \
    {"builtins." name, USE_OTHER, 0}, {   \
        "__builtin__." name, USE_OTHER, 0 \
    }
    BUILT_IN("set"),
    BUILT_IN("frozenset"),
    BUILT_IN("int"),
    BUILT_IN("float"),
    BUILT_IN("bool"),
    BUILT_IN("str"),
    BUILT_IN("list"),
    BUILT_IN("tuple"),
    BUILT_IN("dict"),
    BUILT_IN("complex"),
    BUILT_IN("bytearray"),
#undef BUILT_IN
};
enum { N_GLOBALS = sizeof globals / sizeof globals[0], MAX_KEY = 64 };

cm_status unpickler_global(unpickler *u, const char *module, size_t module_len, const char *name,
                           size_t name_len, uint32_t *id) {
    for (int i = 0; i < N_GLOBALS; i++) {
        const char *full = globals[i].name;
        if (strlen(full) == module_len + 1 + name_len && memcmp(full, module, module_len) == 0 &&
            full[module_len] == '.' && memcmp(full + module_len + 1, name, name_len) == 0) {
            return unpickler_new(u, (pickle_value){.kind = PICKLE_GLOBAL, .number = i}, id);
        }
    }
    int m = module_len > 40 ? 40 : (int)module_len, n = name_len > 40 ? 40 : (int)name_len;
    return unpickler_fail(u, "only what plain tensors need",
                          cm_format("global %.*s.%.*s", m, module, n, name).text);
}

/* The numbers of a tuple into numbers[CM_TENSOR_MAX_DIMS]; none may be negative. */
static cm_status read_numbers(const unpickler *u, uint32_t tuple, const char *what, int *count,
                              int64_t *numbers) {
    uint32_t items[CM_TENSOR_MAX_DIMS];
    if (unpickler_value(u, tuple)->kind != PICKLE_TUPLE) {
        return unpickler_fail(u, cm_format("a tuple as %s", what).text, "another object");
    }
    int n = unpickler_items(u, tuple, items, CM_TENSOR_MAX_DIMS);
    if (n < 0) {
        return unpickler_fail(u, cm_format("at most %d dimensions", CM_TENSOR_MAX_DIMS).text,
                              cm_format("%" PRIu32 " in %s", unpickler_value(u, tuple)->count, what).text);
    }
    for (int i = 0; i < n; i++) {
        const pickle_value *item = unpickler_value(u, items[i]);
        if (item->kind != PICKLE_INT || item->number < 0) {
            return unpickler_fail(u, "whole numbers that are not negative",
                                  cm_format("number %d of %s", i, what).text);
        }
        numbers[i] = item->number;
    }
    *count = n;
    return CM_OK;
}

/* Counts the elements; the last one must lie inside the storage. */
static cm_status check_view(const unpickler *u, pickle_tensor *tensor) {
    const pickle_storage *storage = (const pickle_storage *)u->storages.data + tensor->storage;
    int64_t numel = 1, last = tensor->offset;
    bool fits = true, empty = false;
    for (int i = 0; i < tensor->n_dims; i++) {
        int64_t reach = 0, dim = tensor->dims[i];
        fits = fits && !__builtin_mul_overflow(numel, dim ? dim : 1, &numel);
        empty |= dim == 0;
        if (dim > 0) fits = fits && !__builtin_mul_overflow(dim - 1, tensor->strides[i], &reach);
        fits = fits && !__builtin_add_overflow(last, reach, &last);
    }
    if (!fits) return unpickler_fail(u, "a shape that fits", "an overflow");
    tensor->numel = empty ? 0 : numel;
    if (!empty && (uint64_t)last >= storage->numel) {
        return unpickler_fail(u, cm_format("elements below %" PRIu64 " of the storage", storage->numel).text,
                              cm_format("a view that reaches %" PRId64, last).text);
    }
    return CM_OK;
}

static cm_status build_tensor(unpickler *u, const uint32_t *arguments, int n, uint32_t *result) {
    pickle_tensor tensor = {0};
    int n_strides = 0;
    if (n < 4) return unpickler_fail(u, "storage, offset, size and strides", "fewer arguments");
    const pickle_value *storage = unpickler_value(u, arguments[0]);
    const pickle_value *offset = unpickler_value(u, arguments[1]);
    if (storage->kind != PICKLE_STORAGE) return unpickler_fail(u, "a storage", "another object");
    if (offset->kind != PICKLE_INT || offset->number < 0) {
        return unpickler_fail(u, "an offset that is not negative", "another object or number");
    }
    tensor.storage = (uint32_t)storage->number;
    tensor.offset = offset->number;
    CM_TRY(read_numbers(u, arguments[2], "the size", &tensor.n_dims, tensor.dims));
    CM_TRY(read_numbers(u, arguments[3], "the strides", &n_strides, tensor.strides));
    if (n_strides != tensor.n_dims) {
        return unpickler_fail(u, cm_format("%d strides", tensor.n_dims).text,
                              cm_format("%d", n_strides).text);
    }
    CM_TRY(check_view(u, &tensor));
    CM_TRY(unpickler_grow(u, &u->tensors, sizeof tensor, PICKLE_MAX_TENSORS, "tensors"));
    int64_t number = (int64_t)u->tensors.count - 1;
    ((pickle_tensor *)u->tensors.data)[number] = tensor;
    return unpickler_new(u, (pickle_value){.kind = PICKLE_TENSOR, .number = number}, result);
}

/* An empty dict, or one from a list of pairs, which is how Python 2 wrote an OrderedDict. */
static cm_status build_dict(unpickler *u, const uint32_t *arguments, int n, uint32_t *result) {
    CM_TRY(unpickler_new(u, (pickle_value){.kind = PICKLE_DICT}, result));
    if (n == 0) return CM_OK;
    pickle_kind kind = unpickler_value(u, arguments[0])->kind;
    if (n > 1 || (kind != PICKLE_LIST && kind != PICKLE_TUPLE)) {
        return unpickler_fail(u, "a list of pairs", "other arguments of a dict");
    }
    for (uint32_t c = unpickler_first(u, arguments[0]); c; c = unpickler_cell(u, c).next) {
        uint32_t pair[2], item = unpickler_cell(u, c).value;
        kind = unpickler_value(u, item)->kind;
        if ((kind != PICKLE_LIST && kind != PICKLE_TUPLE) || unpickler_items(u, item, pair, 2) != 2) {
            return unpickler_fail(u, "a list of pairs", "an item that is none");
        }
        CM_TRY(unpickler_append(u, *result, pair[0]));
        CM_TRY(unpickler_append(u, *result, pair[1]));
    }
    return CM_OK;
}

/* The first argument itself, which must be of a kind. */
static cm_status pass_on(const unpickler *u, const uint32_t *arguments, int n, pickle_kind kind,
                         const char *expected, uint32_t *result) {
    if (n < 1 || unpickler_value(u, arguments[0])->kind != kind) {
        return unpickler_fail(u, expected, "other arguments");
    }
    *result = arguments[0];
    return CM_OK;
}

cm_status unpickler_call(unpickler *u, uint32_t function, uint32_t arguments, uint32_t *result) {
    const pickle_value *f = unpickler_value(u, function);
    uint32_t items[8];
    if (f->kind != PICKLE_GLOBAL || globals[f->number].use == USE_STORAGE ||
        unpickler_value(u, arguments)->kind != PICKLE_TUPLE) {
        return unpickler_fail(u, "a known function and a tuple of arguments", "other objects");
    }
    global_use use = globals[f->number].use;
    if (use == USE_OTHER) return unpickler_new(u, (pickle_value){.kind = PICKLE_OTHER}, result);
    int n = unpickler_items(u, arguments, items, 8);
    if (n < 0) return unpickler_fail(u, "at most 8 arguments", "more");
    if (use == USE_TENSOR) return build_tensor(u, items, n, result);
    if (use == USE_DICT) return build_dict(u, items, n, result);
    if (use == USE_SIZE) return pass_on(u, items, n, PICKLE_TUPLE, "a tuple", result);
    return pass_on(u, items, n, PICKLE_TENSOR, "a tensor", result);
}

/* The storage of this key, which must not be known yet in another form. */
static cm_status intern_storage(unpickler *u, const pickle_value *key, pickle_storage storage,
                                int64_t *number) {
    if (cm_map_get(u->keys, key->text, key->count, number)) {
        const pickle_storage *known = (const pickle_storage *)u->storages.data + *number;
        if (known->dtype == storage.dtype && known->numel == storage.numel) return CM_OK;
        return unpickler_fail(u, "one type and size of a storage", "its key with another one");
    }
    CM_TRY(unpickler_grow(u, &u->storages, sizeof storage, PICKLE_MAX_TENSORS, "storages"));
    *number = (int64_t)u->storages.count - 1;
    ((pickle_storage *)u->storages.data)[*number] = storage;
    if (!cm_map_put(u->keys, key->text, key->count, *number)) return cm_fail_memory(u->error, 0);
    return CM_OK;
}

/* ("storage", type, key, device, number of elements), in the legacy format with a view of the storage as
 * sixth item, which PyTorch has always written as None since 0.4. */
cm_status unpickler_persistent(unpickler *u, uint32_t identifier, uint32_t *result) {
    static const char expected[] = "('storage', type, key, device, elements)";
    uint32_t items[6];
    int n =
        unpickler_value(u, identifier)->kind == PICKLE_TUPLE ? unpickler_items(u, identifier, items, 6) : -1;
    if (n < 5) return unpickler_fail(u, expected, "another persistent identifier");
    const pickle_value *word = unpickler_value(u, items[0]), *type = unpickler_value(u, items[1]);
    const pickle_value *key = unpickler_value(u, items[2]), *numel = unpickler_value(u, items[4]);
    if (word->kind != PICKLE_TEXT || word->count != 7 || memcmp(word->text, "storage", 7) != 0 ||
        type->kind != PICKLE_GLOBAL || globals[type->number].use != USE_STORAGE || key->kind != PICKLE_TEXT ||
        key->count == 0 || key->count > MAX_KEY || memchr(key->text, 0, key->count) ||
        numel->kind != PICKLE_INT || numel->number < 0) {
        return unpickler_fail(u, expected, "others");
    }
    if (n == 6 && unpickler_value(u, items[5])->kind != PICKLE_NONE) {
        return unpickler_fail(u, "a whole storage", "a view of another one");
    }
    pickle_storage storage = {.dtype = globals[type->number].dtype, .numel = (uint64_t)numel->number};
    int64_t number = 0;
    CM_TRY(intern_storage(u, key, storage, &number));
    return unpickler_new(u, (pickle_value){.kind = PICKLE_STORAGE, .number = number}, result);
}
