/* The instructions of the pickle machine, protocols 2 to 4 as far as torch.save writes them. */
#include "io/unpickle.h"

#include "base/alloc.h"
#include <string.h>

static const uint32_t mark = UINT32_MAX;

bool unpickler_init(unpickler *u, const char *path, const char *entry, cm_error *error) {
    *u = (unpickler){.path = path, .entry = entry, .error = error, .keys = cm_map_create()};
    uint32_t none = 0;
    /* value 0 and cell 0 mean "not set" */
    return u->keys && unpickler_new(u, (pickle_value){.kind = PICKLE_NONE}, &none) == CM_OK &&
           unpickler_grow(u, &u->cells, sizeof(pickle_cell), PICKLE_MAX_CELLS, "items") == CM_OK;
}

void unpickler_clear(unpickler *u) {
    cm_map_destroy(u->keys);
    cm_free(u->values.data);
    cm_free(u->cells.data);
    cm_free(u->tensors.data);
    cm_free(u->storages.data);
    cm_free(u->stack.data);
    cm_free(u->memo.data);
    *u = (unpickler){0};
}

cm_status unpickler_fail(const unpickler *u, const char *expected, const char *found) {
    cm_text place = u->entry ? cm_format("%s byte %zu", u->entry, u->op) : cm_format("byte %zu", u->op);
    return cm_fail(u->error, CM_DATA, u->path, place.text, expected, "%s", found);
}

cm_status unpickler_grow(const unpickler *u, pickle_array *array, size_t size, size_t limit,
                         const char *what) {
    if (array->count >= limit) {
        return unpickler_fail(u, cm_format("at most %zu %s", limit, what).text, "more");
    }
    if (array->count == array->room) {
        size_t room = array->room ? 2 * array->room : 64;
        void *data = cm_resize(array->data, room, size);
        if (!data) return cm_fail_memory(u->error, room * size);
        array->data = data;
        array->room = room;
    }
    memset((char *)array->data + array->count * size, 0, size);
    array->count++;
    return CM_OK;
}

static pickle_value *value_at(const unpickler *u, uint32_t id) {
    return (pickle_value *)u->values.data + id;
}

const pickle_value *unpickler_value(const unpickler *u, uint32_t value) {
    return value_at(u, value);
}

cm_status unpickler_new(unpickler *u, pickle_value value, uint32_t *id) {
    CM_TRY(unpickler_grow(u, &u->values, sizeof value, PICKLE_MAX_VALUES, "objects"));
    *id = (uint32_t)(u->values.count - 1);
    *value_at(u, *id) = value;
    return CM_OK;
}

cm_status unpickler_append(unpickler *u, uint32_t container, uint32_t item) {
    CM_TRY(unpickler_grow(u, &u->cells, sizeof(pickle_cell), PICKLE_MAX_CELLS, "items of containers"));
    uint32_t last = (uint32_t)(u->cells.count - 1);
    pickle_cell *cells = u->cells.data;
    cells[last] = (pickle_cell){.value = item};
    pickle_value *owner = value_at(u, container);
    if (owner->items.tail) {
        cells[owner->items.tail].next = last;
    } else {
        owner->items.head = last;
    }
    owner->items.tail = last;
    owner->count++;
    return CM_OK;
}

pickle_cell unpickler_cell(const unpickler *u, uint32_t cell) {
    return ((const pickle_cell *)u->cells.data)[cell];
}

uint32_t unpickler_first(const unpickler *u, uint32_t container) {
    return value_at(u, container)->items.head;
}

int unpickler_items(const unpickler *u, uint32_t container, uint32_t *items, int most) {
    int n = 0;
    for (uint32_t c = unpickler_first(u, container); c; c = unpickler_cell(u, c).next) {
        if (n == most) return -1;
        items[n++] = unpickler_cell(u, c).value;
    }
    return n;
}

uint32_t unpickler_member(const unpickler *u, uint32_t dict, const char *key) {
    uint32_t found = 0;
    for (uint32_t c = unpickler_first(u, dict); c;) {
        pickle_cell name = unpickler_cell(u, c), value = unpickler_cell(u, name.next);
        const pickle_value *text = unpickler_value(u, name.value);
        if (text->kind == PICKLE_TEXT && text->count == strlen(key) &&
            memcmp(text->text, key, text->count) == 0) {
            found = value.value;
        }
        c = value.next;
    }
    return found;
}

/* ---- stack and input ---- */

static cm_status push(unpickler *u, uint32_t id) {
    CM_TRY(unpickler_grow(u, &u->stack, sizeof id, PICKLE_MAX_STACK, "values on the stack"));
    ((uint32_t *)u->stack.data)[u->stack.count - 1] = id;
    return CM_OK;
}

static cm_status push_value(unpickler *u, pickle_value value) {
    uint32_t id = 0;
    CM_TRY(unpickler_new(u, value, &id));
    return push(u, id);
}

static cm_status top_value(const unpickler *u, uint32_t *id) {
    const uint32_t *stack = u->stack.data;
    if (u->stack.count == 0 || stack[u->stack.count - 1] == mark) {
        return unpickler_fail(u, "a value on the stack", "none");
    }
    *id = stack[u->stack.count - 1];
    return CM_OK;
}

static cm_status pop(unpickler *u, uint32_t *id) {
    CM_TRY(top_value(u, id));
    u->stack.count--;
    return CM_OK;
}

/* The position behind the topmost mark; the values from there on are *n. */
static cm_status find_mark(const unpickler *u, size_t *first, size_t *n) {
    const uint32_t *stack = u->stack.data;
    for (size_t i = u->stack.count; i > 0; i--) {
        if (stack[i - 1] == mark) {
            *first = i;
            *n = u->stack.count - i;
            return CM_OK;
        }
    }
    return unpickler_fail(u, "a mark on the stack", "none");
}

/* The next n bytes of the pickle. */
static cm_status take(unpickler *u, uint64_t n, const unsigned char **bytes) {
    if (n > u->size - u->at) return unpickler_fail(u, "a complete pickle", "the end of the data");
    *bytes = u->data + u->at;
    u->at += (size_t)n;
    return CM_OK;
}

/* An unsigned little-endian number of 1 to 8 bytes. */
static cm_status take_number(unpickler *u, int bytes, uint64_t *number) {
    const unsigned char *p = NULL;
    CM_TRY(take(u, (uint64_t)bytes, &p));
    *number = 0;
    for (int i = bytes; i-- > 0;) *number = *number << 8 | p[i];
    return CM_OK;
}

/* ---- instructions; width is the second column of the table ---- */

static cm_status op_skip(unpickler *u, int width) {
    const unsigned char *ignored = NULL;
    return take(u, (uint64_t)width, &ignored);
}

static cm_status op_protocol(unpickler *u, int width) {
    uint64_t version = 0;
    CM_TRY(take_number(u, width, &version));
    if (version >= 2 && version <= 5) return CM_OK;
    return unpickler_fail(u, "pickle protocol 2 to 5", cm_format("protocol %d", (int)version).text);
}

static cm_status op_constant(unpickler *u, int kind) {
    return push_value(u, (pickle_value){.kind = (uint8_t)kind});
}

static cm_status op_true(unpickler *u, int value) {
    return push_value(u, (pickle_value){.kind = PICKLE_BOOL, .number = value});
}

static cm_status op_int(unpickler *u, int width) {
    uint64_t number = 0;
    CM_TRY(take_number(u, width, &number));
    int64_t value = width == 4 ? (int32_t)(uint32_t)number : (int64_t)number;
    return push_value(u, (pickle_value){.kind = PICKLE_INT, .number = value});
}

static cm_status op_long(unpickler *u, int width) {
    uint64_t length = 0, number = 0;
    const unsigned char *p = NULL;
    CM_TRY(take_number(u, width, &length));
    CM_TRY(take(u, length, &p));
    if (length > 8) {
        return push_value(
            u, (pickle_value){.kind = PICKLE_LONG, .count = (uint32_t)length, .text = (const char *)p});
    }
    if (length > 0 && p[length - 1] >= 0x80) number = UINT64_MAX; /* the sign goes on */
    for (size_t i = (size_t)length; i-- > 0;) number = number << 8 | p[i];
    return push_value(u, (pickle_value){.kind = PICKLE_INT, .number = (int64_t)number});
}

static cm_status op_float(unpickler *u, int width) {
    CM_TRY(op_skip(u, width));
    return op_constant(u, PICKLE_OTHER);
}

static cm_status op_text(unpickler *u, int width) {
    uint64_t length = 0;
    const unsigned char *p = NULL;
    CM_TRY(take_number(u, width, &length));
    CM_TRY(take(u, length, &p));
    if (length > UINT32_MAX) return unpickler_fail(u, "a text under 4 GiB", "more");
    return push_value(
        u, (pickle_value){.kind = PICKLE_TEXT, .count = (uint32_t)length, .text = (const char *)p});
}

static cm_status op_bytes(unpickler *u, int width) {
    uint64_t length = 0;
    const unsigned char *p = NULL;
    CM_TRY(take_number(u, width, &length));
    CM_TRY(take(u, length, &p));
    return op_constant(u, PICKLE_OTHER);
}

static cm_status op_mark(unpickler *u, int width) {
    (void)width;
    return push(u, mark);
}

/* A tuple of the topmost n values, -1: of those behind the mark. */
static cm_status op_tuple(unpickler *u, int n) {
    size_t first = 0, count = 0;
    uint32_t id = 0;
    if (n < 0) {
        CM_TRY(find_mark(u, &first, &count));
    } else {
        count = (size_t)n;
        if (u->stack.count < count) return unpickler_fail(u, "values for a tuple", "too few");
        first = u->stack.count - count;
    }
    CM_TRY(unpickler_new(u, (pickle_value){.kind = PICKLE_TUPLE}, &id));
    for (size_t i = 0; i < count; i++) {
        uint32_t item = ((const uint32_t *)u->stack.data)[first + i];
        if (item == mark) return unpickler_fail(u, "values for a tuple", "a mark");
        CM_TRY(unpickler_append(u, id, item));
    }
    u->stack.count = n < 0 ? first - 1 : first;
    return push(u, id);
}

/* Adds the values from first on to the container of the given kind under them; to objects that are not kept
 * nothing is added. */
static cm_status add_items(unpickler *u, size_t first, size_t n, size_t behind, pickle_kind kind) {
    const uint32_t *stack = u->stack.data;
    if (behind == 0 || stack[behind - 1] == mark) return unpickler_fail(u, "a container", "none");
    uint32_t container = stack[behind - 1];
    pickle_kind found = value_at(u, container)->kind;
    if (found != kind && found != PICKLE_OTHER) {
        return unpickler_fail(u, kind == PICKLE_DICT ? "a dict" : "a list or set", "another object");
    }
    if (kind == PICKLE_DICT && n % 2 != 0) return unpickler_fail(u, "keys with values", "an odd number");
    for (size_t i = 0; i < n; i++) {
        if (stack[first + i] == mark) return unpickler_fail(u, "items of a container", "a mark");
        if (found == kind) CM_TRY(unpickler_append(u, container, stack[first + i]));
    }
    u->stack.count = behind;
    return CM_OK;
}

static cm_status op_add_marked(unpickler *u, int kind) {
    size_t first = 0, n = 0;
    CM_TRY(find_mark(u, &first, &n));
    return add_items(u, first, n, first - 1, (pickle_kind)kind);
}

static cm_status op_add_top(unpickler *u, int kind) {
    size_t n = kind == PICKLE_DICT ? 2 : 1;
    if (u->stack.count < n + 1) return unpickler_fail(u, "a container and its item", "too few values");
    return add_items(u, u->stack.count - n, n, u->stack.count - n, (pickle_kind)kind);
}

static cm_status op_frozenset(unpickler *u, int width) {
    size_t first = 0, n = 0;
    (void)width;
    CM_TRY(find_mark(u, &first, &n));
    u->stack.count = first - 1;
    return op_constant(u, PICKLE_OTHER);
}

static cm_status op_pop(unpickler *u, int width) {
    (void)width;
    if (u->stack.count == 0) return unpickler_fail(u, "a value on the stack", "none");
    u->stack.count--;
    return CM_OK;
}

static cm_status op_pop_mark(unpickler *u, int width) {
    size_t first = 0, n = 0;
    (void)width;
    CM_TRY(find_mark(u, &first, &n));
    u->stack.count = first - 1;
    return CM_OK;
}

static cm_status op_dup(unpickler *u, int width) {
    uint32_t id = 0;
    (void)width;
    CM_TRY(top_value(u, &id));
    return push(u, id);
}

static cm_status memo_put(unpickler *u, uint64_t slot) {
    uint32_t id = 0;
    CM_TRY(top_value(u, &id));
    if (slot >= PICKLE_MAX_MEMO) {
        return unpickler_fail(u, cm_format("a memo of at most %d values", PICKLE_MAX_MEMO).text, "more");
    }
    while (u->memo.count <= slot) {
        CM_TRY(unpickler_grow(u, &u->memo, sizeof id, PICKLE_MAX_MEMO, "values in the memo"));
    }
    ((uint32_t *)u->memo.data)[slot] = id;
    return CM_OK;
}

static cm_status op_put(unpickler *u, int width) {
    uint64_t slot = 0;
    CM_TRY(take_number(u, width, &slot));
    return memo_put(u, slot);
}

static cm_status op_memoize(unpickler *u, int width) {
    (void)width;
    return memo_put(u, u->memo.count);
}

static cm_status op_get(unpickler *u, int width) {
    uint64_t slot = 0;
    CM_TRY(take_number(u, width, &slot));
    uint32_t id = slot < u->memo.count ? ((const uint32_t *)u->memo.data)[slot] : 0;
    if (id == 0) return unpickler_fail(u, "a value that was put into the memo", "none");
    return push(u, id);
}

/* Module and name, each up to a newline. */
static cm_status op_global(unpickler *u, int width) {
    const char *text[2];
    size_t length[2];
    uint32_t id = 0;
    (void)width;
    for (int i = 0; i < 2; i++) {
        const unsigned char *from = u->data + u->at;
        const unsigned char *end = memchr(from, '\n', u->size - u->at);
        if (!end) return unpickler_fail(u, "a complete pickle", "the end of the data");
        text[i] = (const char *)from;
        length[i] = (size_t)(end - from);
        u->at += length[i] + 1;
    }
    CM_TRY(unpickler_global(u, text[0], length[0], text[1], length[1], &id));
    return push(u, id);
}

static cm_status op_stack_global(unpickler *u, int width) {
    uint32_t module = 0, name = 0, id = 0;
    (void)width;
    CM_TRY(pop(u, &name));
    CM_TRY(pop(u, &module));
    const pickle_value *m = value_at(u, module), *n = value_at(u, name);
    if (m->kind != PICKLE_TEXT || n->kind != PICKLE_TEXT) {
        return unpickler_fail(u, "the name of a global", "another object");
    }
    CM_TRY(unpickler_global(u, m->text, m->count, n->text, n->count, &id));
    return push(u, id);
}

static cm_status op_call(unpickler *u, int width) {
    uint32_t arguments = 0, function = 0, result = 0;
    (void)width;
    CM_TRY(pop(u, &arguments));
    CM_TRY(pop(u, &function));
    CM_TRY(unpickler_call(u, function, arguments, &result));
    return push(u, result);
}

/* The state of an object is of no interest here; tensors have none. */
static cm_status op_build(unpickler *u, int width) {
    uint32_t state = 0, object = 0;
    (void)width;
    CM_TRY(pop(u, &state));
    CM_TRY(top_value(u, &object));
    pickle_kind kind = value_at(u, object)->kind;
    if (kind == PICKLE_DICT || kind == PICKLE_OTHER) return CM_OK;
    return unpickler_fail(u, "an object that can have a state", "another one");
}

static cm_status op_persistent(unpickler *u, int width) {
    uint32_t identifier = 0, result = 0;
    (void)width;
    CM_TRY(pop(u, &identifier));
    CM_TRY(unpickler_persistent(u, identifier, &result));
    return push(u, result);
}

enum { STOP = '.' };

static const struct {
    cm_status (*run)(unpickler *u, int width);
    int width;
} instructions[256] = {
    [0x80] = {op_protocol, 1},
    [0x95] = {op_skip, 8}, /* FRAME */
    ['N'] = {op_constant, PICKLE_NONE},
    ['}'] = {op_constant, PICKLE_DICT},
    [']'] = {op_constant, PICKLE_LIST},
    [')'] = {op_constant, PICKLE_TUPLE},
    [0x8f] = {op_constant, PICKLE_OTHER}, /* EMPTY_SET */
    [0x88] = {op_true, 1},
    [0x89] = {op_true, 0},
    ['J'] = {op_int, 4},
    ['K'] = {op_int, 1},
    ['M'] = {op_int, 2},
    [0x8a] = {op_long, 1},
    [0x8b] = {op_long, 4},
    ['G'] = {op_float, 8},
    ['X'] = {op_text, 4},
    [0x8c] = {op_text, 1},
    [0x8d] = {op_text, 8},
    ['T'] = {op_text, 4},
    ['U'] = {op_text, 1},
    ['B'] = {op_bytes, 4},
    ['C'] = {op_bytes, 1},
    [0x8e] = {op_bytes, 8},
    ['('] = {op_mark, 0},
    ['t'] = {op_tuple, -1},
    [0x85] = {op_tuple, 1},
    [0x86] = {op_tuple, 2},
    [0x87] = {op_tuple, 3},
    ['u'] = {op_add_marked, PICKLE_DICT},
    ['e'] = {op_add_marked, PICKLE_LIST},
    [0x90] = {op_add_marked, PICKLE_LIST}, /* ADDITEMS */
    ['s'] = {op_add_top, PICKLE_DICT},
    ['a'] = {op_add_top, PICKLE_LIST},
    [0x91] = {op_frozenset, 0},
    ['0'] = {op_pop, 0},
    ['1'] = {op_pop_mark, 0},
    ['2'] = {op_dup, 0},
    ['q'] = {op_put, 1},
    ['r'] = {op_put, 4},
    [0x94] = {op_memoize, 0},
    ['h'] = {op_get, 1},
    ['j'] = {op_get, 4},
    ['c'] = {op_global, 0},
    [0x93] = {op_stack_global, 0},
    ['R'] = {op_call, 0},
    [0x81] = {op_call, 0},
    /* NEWOBJ */['b'] = {op_build, 0},
    ['Q'] = {op_persistent, 0},
};

cm_status unpickler_run(unpickler *u, const unsigned char *data, size_t size, size_t at, uint32_t *top) {
    u->data = data;
    u->size = size;
    u->at = at;
    u->stack.count = u->memo.count = 0;
    for (;;) {
        const unsigned char *op = NULL;
        u->op = u->at;
        CM_TRY(take(u, 1, &op));
        if (*op == STOP) break;
        if (!instructions[*op].run) {
            return unpickler_fail(u, "a pickle of protocol 2 or later",
                                  cm_format("instruction 0x%02x", *op).text);
        }
        CM_TRY(instructions[*op].run(u, instructions[*op].width));
    }
    return pop(u, top);
}
