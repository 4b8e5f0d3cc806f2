/* Published checkpoints: where they are looked for, shards, values as f32, the hash, and the import of
 * PyTorch files. */
#include "base/alloc.h"
#include "base/fail.h"
#include "fail_alloc.h"
#include "io/weights.h"
#include "temp_file.h"
#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char root[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, P_tmpdir "/cm_weights_XXXXXX");
    if (!mkdtemp(root)) return -1;
    char path[128];
    snprintf(path, sizeof path, "%s/home", root);
    setenv("CROSSMAMBA_CHECKPOINTS", path, 1);
    snprintf(path, sizeof path, "%s/cache", root);
    setenv("HF_HUB_CACHE", path, 1);
    return 0;
}

static void remove_tree(const char *path) {
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        DIR *dir = opendir(path);
        for (struct dirent *entry; (entry = readdir(dir));) {
            char name[512];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            remove_tree(name);
        }
        closedir(dir);
    }
    remove(path);
}

static int remove_root(void **state) {
    (void)state;
    remove_tree(root);
    return 0;
}

/* root/name, with the folders above it; valid until the third next call. */
static const char *in_root(const char *name) {
    static char paths[3][512];
    static int next;
    char *path = paths[next++ % 3];
    snprintf(path, 512, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0777);
        *at = '/';
    }
    return path;
}

static void write_text(const char *name, const char *text) {
    FILE *stream = fopen(in_root(name), "wb");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static void write_tensor(const char *file, const char *name, cm_dtype dtype, int64_t rows, int64_t columns,
                         const void *data) {
    cm_tensor tensor = {.name = name, .dtype = dtype, .n_dims = 2, .dims = {rows, columns}, .data = data};
    tensor.bytes = (size_t)(rows * columns) * cm_dtype_bytes(dtype);
    assert_int_equal(cm_safetensors_write(in_root(file), &tensor, 1, NULL, 0, NULL), CM_OK);
}

static cm_weights *open_weights(const char *reference) {
    cm_weights *weights = NULL;
    cm_error error = {0};
    char line[1024];
    if (cm_weights_open(&weights, reference, &error) != CM_OK) {
        fail_msg("%s", cm_error_line(&error, line, sizeof line));
    }
    return weights;
}

static void assert_refused(const char *reference, cm_status status, const char *says) {
    cm_weights *weights = NULL;
    cm_error error = {0};
    assert_int_equal(cm_weights_open(&weights, reference, &error), status);
    assert_null(weights);
    assert_says(&error, says);
}

static const float four[] = {1, 2, 3, 4};

static void check_four(const char *reference) {
    float out[4] = {0};
    cm_weights *weights = open_weights(reference);
    const cm_tensor *tensor = cm_weights_find(weights, "w");
    assert_non_null(tensor);
    assert_int_equal(cm_weights_f32(weights, tensor, 0, 2, out, NULL), CM_OK);
    assert_memory_equal(out, four, sizeof four);
    cm_weights_close(weights);
}

static void finds_paths(void **state) {
    (void)state;
    write_tensor("plain/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_tensor("single/other.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    check_four(in_root("plain"));
    check_four(in_root("single"));
    check_four(in_root("single/other.safetensors"));
    write_tensor("single/more.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    assert_refused(in_root("single"), CM_MODEL, "found 2 .safetensors files");
    write_text("text/config.json", "{}");
    assert_refused(in_root("text"), CM_MODEL, "found a folder without weights");
    assert_refused(in_root("text/config.json"), CM_MODEL, "found another file");
    assert_refused(in_root("nothing"), CM_MODEL, "found no such file");
    assert_refused("../nothing", CM_MODEL, "found no such file");
    assert_refused("/dev/zero", CM_IO, "found a device");
    write_text("damaged/model.safetensors", "0123");
    assert_refused(in_root("damaged"), CM_DATA, "found 4 bytes, expected a safetensors file");
}

static void finds_repositories(void **state) {
    (void)state;
    assert_refused("org/name", CM_MODEL, in_root("home"));
    assert_refused("org/name", CM_MODEL, in_root("cache"));
    write_tensor("cache/models--org--name/blobs/abc", "w", CM_DTYPE_F32, 2, 2, four);
    in_root("cache/models--org--name/snapshots/123/x");
    assert_int_equal(
        symlink("../../blobs/abc", in_root("cache/models--org--name/snapshots/123/model.safetensors")), 0);
    check_four("org/name"); /* the only snapshot */
    write_text("cache/models--org--name/snapshots/456/config.json", "{}");
    assert_refused("org/name", CM_MODEL, "found several snapshots, expected refs/main, or one snapshot");
    write_text("cache/models--org--name/refs/main", "123\n");
    check_four("org/name");
    write_text("cache/models--org--name/refs/main", "456");
    assert_refused("org/name", CM_MODEL, "no such checkpoint");
    write_text("cache/models--org--name/refs/main", "../../../../plain");
    assert_refused("org/name", CM_MODEL, "found several snapshots");
    write_tensor("home/org/name/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    check_four("org/name"); /* the import goes first */
    assert_refused("org/../name", CM_MODEL, "found no such file");
    assert_refused("org/name/more", CM_MODEL, "found no such file");
    assert_refused("org/", CM_MODEL, "found no such file");
}

/* refs/main may name a snapshot by one letter; once it is empty or gone, what it said counts no more. */
static void the_main_snapshot_is_the_one_named(void **state) {
    (void)state;
    write_tensor("cache/models--org--name/snapshots/7/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_text("cache/models--org--name/snapshots/8/config.json", "{}");
    write_text("cache/models--org--name/refs/main", "7");
    check_four("org/name");
    write_text("cache/models--org--name/refs/main", "");
    assert_refused("org/name", CM_MODEL, "found several snapshots");
    write_text("cache/models--org--name/refs/main", "7");
    check_four("org/name");
    assert_int_equal(unlink(in_root("cache/models--org--name/refs/main")), 0);
    assert_refused("org/name", CM_MODEL, "found several snapshots");
}

/* A path of one letter, and the folder that one is in. */
static void short_paths(void **state) {
    (void)state;
    char before[4096];
    write_tensor("one/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_tensor("m/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(in_root("one")), 0);
    check_four(".");
    assert_int_equal(chdir(root), 0);
    check_four("m");
    assert_int_equal(chdir(before), 0);
}

/* In a process whose root is the test's folder. */
static int open_at_root(void) {
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) return 77;
    if (chroot(root) != 0 || chdir("/") != 0) return 77;
    cm_weights *weights = NULL;
    if (cm_weights_open(&weights, "/model.safetensors", NULL) != CM_OK) return 1;
    int code = strcmp(cm_weights_folder(weights), "/") == 0 ? 0 : 2;
    cm_weights_close(weights);
    return code;
}

static void a_file_of_the_root_folder(void **state) {
    (void)state;
    int status = 0;
    write_tensor("model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    pid_t child = fork();
    if (child == 0) _exit(open_at_root());
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_int_equal(status, 0);
}

static void names_the_import(void **state) {
    (void)state;
    write_text("torch/pytorch_model.bin", "x");
    write_text("torch/a.pt", "x");
    write_text("torch/training_args.bin", "x");
    assert_refused(in_root("torch"), CM_MODEL, "found a PyTorch file; run: crossmamba models import");
    assert_refused(in_root("torch"), CM_MODEL, "torch/pytorch_model.bin");
    assert_refused(in_root("torch/a.pt"), CM_MODEL, "torch/a.pt, expected safetensors");
    static const char *const trainers[] = {"training_args.bin", "optimizer.pt", "scheduler.pt",
                                           "rng_state_0.pth"};
    for (int i = 0; i < 4; i++) write_text(cm_format("trainer/%s", trainers[i]).text, "x");
    assert_refused(in_root("trainer"), CM_MODEL, "found a folder without weights");
    write_text("trainer/z.pt", "x");
    write_text("trainer/y.pt", "x");
    assert_refused(in_root("trainer"), CM_MODEL, "trainer/y.pt");
    write_text("cache/models--org--old/snapshots/1/pytorch_model.bin", "x");
    assert_refused("org/old", CM_MODEL, "models import");
}

static void write_shards(const char *map) {
    char text[512];
    const float more[] = {5, 6};
    write_tensor("shards/model-1.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_tensor("shards/model-2.safetensors", "a", CM_DTYPE_F32, 1, 2, more);
    snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":24},\"weight_map\":%s}", map);
    write_text("shards/model.safetensors.index.json", text);
}

static void shards(void **state) {
    (void)state;
    write_shards("{\"w\":\"model-1.safetensors\",\"a\":\"model-2.safetensors\"}");
    check_four(in_root("shards"));
    cm_weights *weights = open_weights(in_root("shards"));
    assert_int_equal(cm_weights_count(weights), 2);
    assert_string_equal(cm_weights_get(weights, 0)->name, "a");
    assert_int_equal(cm_weights_bytes(weights), 24);
    assert_null(cm_weights_find(weights, "b"));
    cm_weights_close(weights);
    static const struct {
        const char *map;
        cm_status status;
        const char *says;
    } bad[] = {
        {"{\"w\":\"../plain/model.safetensors\"}", CM_DATA, "weight_map: found ../plain/model.safetensors"},
        {"{\"w\":\"/etc/passwd\"}", CM_DATA, "found /etc/passwd, expected the name of a .safetensors file"},
        {"{\"w\":\"..safetensors\"}", CM_DATA, "expected the name of a .safetensors file"},
        {"{\"w\":\"model.bin\"}", CM_DATA, "expected the name of a .safetensors file"},
        {"{\"w\":\"\"}", CM_DATA, "expected the name of a .safetensors file"},
        {"{\"w\":\"model-3.safetensors\"}", CM_MODEL, "found model-3.safetensors is not there"},
        {"{\"w\":\"model-2.safetensors\"}", CM_DATA, "tensor w: found none in model-2.safetensors"},
        {"{\"w\":1}", CM_DATA, "tensor w: found another value"},
        {"[]", CM_DATA, "weight_map"},
        {"{\"w\":\"model-1.safetensors\",\"w\":\"model-1.safetensors\"}", CM_DATA, "duplicate"},
        {"{", CM_DATA, "index.json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_shards(bad[i].map);
        assert_refused(in_root("shards"), bad[i].status, bad[i].says);
    }
    write_text("shards/model.safetensors.index.json", "");
    assert_refused(in_root("shards"), CM_DATA, "index.json");
}

/* One row of values in the file as f32. */
static cm_status read_as(cm_dtype dtype, const void *data, int64_t n, float *out, cm_error *error) {
    write_tensor("types/model.safetensors", "w", dtype, 1, n, data);
    cm_weights *weights = open_weights(in_root("types"));
    cm_status status = cm_weights_f32(weights, cm_weights_find(weights, "w"), 0, 1, out, error);
    cm_weights_close(weights);
    return status;
}

static void converts_types(void **state) {
    (void)state;
    float out[8];
    const uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x3555};
    const float wanted16[] = {1, -2, 0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f, 65504, -0.0f, 0x1.554p-2f};
    assert_int_equal(read_as(CM_DTYPE_F16, f16, 8, out, NULL), CM_OK);
    assert_memory_equal(out, wanted16, sizeof wanted16);
    const uint16_t bf16[] = {0x3f80, 0x0001, 0xc020};
    const float wanted_bf16[] = {1, 0x1p-133f, -2.5f};
    assert_int_equal(read_as(CM_DTYPE_BF16, bf16, 3, out, NULL), CM_OK);
    assert_memory_equal(out, wanted_bf16, sizeof wanted_bf16);
    const double f64[] = {0.1, -1e-50, 3};
    const float wanted64[] = {0.1f, -0.0f, 3};
    assert_int_equal(read_as(CM_DTYPE_F64, f64, 3, out, NULL), CM_OK);
    assert_memory_equal(out, wanted64, sizeof wanted64);
}

/* A row of more values than are converted at a time, between others: it comes whole, and nothing behind it is
 * touched. */
static void a_long_row_is_read_alone(void **state) {
    (void)state;
    enum { ROWS = 5, WIDTH = (1 << 17) + 3 };
    double *data = calloc((size_t)ROWS * WIDTH, sizeof *data);
    float *out = calloc((size_t)ROWS * WIDTH, sizeof *out);
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++) data[i] = (double)i;
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++) out[i] = -1;
    write_tensor("long/model.safetensors", "w", CM_DTYPE_F64, ROWS, WIDTH, data);
    cm_weights *weights = open_weights(in_root("long"));
    assert_int_equal(cm_weights_f32(weights, cm_weights_find(weights, "w"), 1, 1, out, NULL), CM_OK);
    for (size_t i = 0; i < WIDTH; i++) assert_true(out[i] == (float)(WIDTH + i));
    for (size_t i = WIDTH; i < (size_t)ROWS * WIDTH; i++) assert_true(out[i] == -1);
    cm_weights_close(weights);
    free(data);
    free(out);
}

static void refuses_values(void **state) {
    (void)state;
    float out[3];
    cm_error error = {0};
    const float f32[] = {1, 2, NAN}, infinite[] = {1, -INFINITY, 1};
    const uint16_t f16[] = {0, 0x7c00, 0}, nan16[] = {0x7e01, 0, 0}, bf16[] = {0, 0xff80, 0};
    const double f64[] = {0, 0, 1e300};
    const int64_t i64[] = {1, 2, 3};
    assert_int_equal(read_as(CM_DTYPE_F32, f32, 3, out, &error), CM_NUMERIC);
    assert_says(&error, "tensor w: found another value at element 2, expected finite numbers");
    assert_int_equal(read_as(CM_DTYPE_F32, infinite, 3, out, &error), CM_NUMERIC);
    assert_int_equal(read_as(CM_DTYPE_F16, f16, 3, out, &error), CM_NUMERIC);
    assert_int_equal(read_as(CM_DTYPE_F16, nan16, 3, out, &error), CM_NUMERIC);
    assert_int_equal(read_as(CM_DTYPE_BF16, bf16, 3, out, &error), CM_NUMERIC);
    assert_int_equal(read_as(CM_DTYPE_F64, f64, 3, out, &error), CM_NUMERIC);
    assert_int_equal(read_as(CM_DTYPE_I64, i64, 3, out, &error), CM_DATA);
    assert_says(&error, "found I64, expected F32, F16, BF16 or F64");
}

/* Resident pages of file mappings, in bytes. */
static size_t resident_file(void) {
    long total = 0, resident = 0, shared = 0;
    FILE *stream = fopen("/proc/self/statm", "r");
    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%ld %ld %ld", &total, &resident, &shared), 3);
    fclose(stream);
    return (size_t)shared * (size_t)sysconf(_SC_PAGESIZE);
}

/* Read row by row, a file of 32 MB keeps less than 8 MB mapped (the kernel maps up to 2 MB at a time). */
static void pages_are_given_back(void **state) {
    (void)state;
    enum { ROWS = 8191, WIDTH = 1023 };
    float *data = calloc((size_t)ROWS * WIDTH, sizeof *data), row[3 * WIDTH];
    size_t most = 0;
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++) data[i] = (float)i;
    write_tensor("large/model.safetensors", "w", CM_DTYPE_F32, ROWS, WIDTH, data);
    cm_weights *weights = open_weights(in_root("large"));
    const cm_tensor *tensor = cm_weights_find(weights, "w");
    const char *hex;
    assert_int_equal(cm_weights_sha256(weights, &hex, NULL), CM_OK);
    size_t before = resident_file();
    for (int i = 0; i < ROWS; i += 3) {
        int n = ROWS - i < 3 ? ROWS - i : 3;
        assert_int_equal(cm_weights_f32(weights, tensor, i, n, row, NULL), CM_OK);
        assert_memory_equal(row, data + (size_t)i * WIDTH, (size_t)n * WIDTH * sizeof *row);
        size_t now = resident_file();
        if (now > before && now - before > most) most = now - before;
    }
    assert_true(most < (size_t)8 << 20);
    cm_weights_close(weights);
    free(data);
}

static void hash_is_of_the_tensors(void **state) {
    (void)state;
    const char *hex;
    char first[65];
    write_tensor("plain/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    cm_weights *weights = open_weights(in_root("plain"));
    assert_int_equal(cm_weights_sha256(weights, &hex, NULL), CM_OK);
    snprintf(first, sizeof first, "%s", hex);
    assert_int_equal(strlen(first), 64);
    cm_weights_close(weights);
    write_shards("{\"w\":\"model-1.safetensors\"}");
    weights = open_weights(in_root("shards")); /* another packing of the same */
    assert_int_equal(cm_weights_sha256(weights, &hex, NULL), CM_OK);
    assert_string_equal(hex, first);
    cm_weights_close(weights);
    write_tensor("plain/model.safetensors", "w", CM_DTYPE_F32, 4, 1, four);
    weights = open_weights(in_root("plain")); /* another shape */
    assert_int_equal(cm_weights_sha256(weights, &hex, NULL), CM_OK);
    assert_string_not_equal(hex, first);
    cm_weights_close(weights);
}

static void texts(void **state) {
    (void)state;
    char *text;
    size_t length;
    cm_error error = {0};
    write_tensor("plain/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_text("plain/config.json", "{\"a\":1}");
    cm_weights *weights = open_weights(in_root("plain/model.safetensors"));
    assert_string_equal(cm_weights_folder(weights), in_root("plain"));
    assert_int_equal(cm_weights_text(weights, "config.json", &text, &length, &error), CM_OK);
    assert_string_equal(text, "{\"a\":1}");
    assert_int_equal(length, 7);
    cm_free(text);
    assert_int_equal(cm_weights_text(weights, "vocab.txt", &text, &length, &error), CM_OK);
    assert_null(text);
    assert_int_equal(cm_weights_text(weights, "../plain/config.json", &text, &length, &error), CM_DATA);
    write_text("plain/vocab.txt", "");
    assert_int_equal(truncate(in_root("plain/vocab.txt"), (off_t)65 << 20), 0);
    assert_int_equal(cm_weights_text(weights, "vocab.txt", &text, &length, &error), CM_DATA);
    assert_says(&error, "expected at most 32 MB");
    cm_weights_close(weights);
}

/* ---- long paths ---- */

/* root/name with "/." behind it, size bytes in all: another path of the same folder. */
static const char *padded(const char *name, size_t size, char path[8192]) {
    snprintf(path, 8192, "%s", in_root(name));
    for (size_t at = strlen(path); at < size; at += 2) memcpy(path + at, "/.", 3);
    return path;
}

static cm_status open_and_close(const char *reference, cm_error *error) {
    cm_weights *weights = NULL;
    cm_status status = cm_weights_open(&weights, reference, error);
    cm_weights_close(weights);
    return status;
}

/* Folders whose names leave less and less room for those of their files, up to what the system takes: found,
 * or refused with a reason. */
static void long_paths(void **state) {
    (void)state;
    char path[8192], value[8192];
    int found = 0, refused = 0;
    cm_error error;
    write_tensor("plain/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_tensor("lone/other.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_text("trained/other.pt", "x");
    write_shards("{\"w\":\"model-1.safetensors\"}");
    write_tensor("cache/models--org--name/snapshots/123/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_text("cache/models--org--name/refs/main", "123");
    write_text("empty/x", "");
    static const char *const folders[] = {"plain", "lone", "trained", "shards"};
    for (size_t size = 4000; size < 4110; size++) {
        for (int i = 0; i < 4; i++) {
            cm_status status = open_and_close(padded(folders[i], size, path), &error);
            assert_true(status == CM_OK || status == CM_IO || status == CM_MODEL);
            found += status == CM_OK;
            refused += status == CM_IO;
        }
        setenv("HF_HUB_CACHE", padded("cache", size, value), 1);
        cm_status status = open_and_close("org/name", &error);
        assert_true(status == CM_OK || status == CM_IO || status == CM_MODEL);
        setenv("HF_HUB_CACHE", in_root("cache"), 1);
        setenv("CROSSMAMBA_CHECKPOINTS", padded("empty", size, value), 1);
        status = open_and_close("org/none", &error);
        assert_true(status == CM_IO || status == CM_MODEL);
        status = cm_weights_home(path, 4096, &error);
        assert_int_equal(status, strlen(value) < 4096 ? CM_OK : CM_IO);
        setenv("CROSSMAMBA_CHECKPOINTS", in_root("home"), 1);
    }
    assert_true(found > 100 && refused > 100);
}

/* Where downloads and imports lie: the first variable that is set. */
static void folders_by_environment(void **state) {
    (void)state;
    char path[4096];
    write_tensor("hf/hub/models--org--a/snapshots/1/model.safetensors", "w", CM_DTYPE_F32, 2, 2, four);
    write_tensor("xdg/huggingface/hub/models--org--b/snapshots/1/model.safetensors", "w", CM_DTYPE_F32, 2, 2,
                 four);
    write_tensor("user/.cache/huggingface/hub/models--org--c/snapshots/1/model.safetensors", "w",
                 CM_DTYPE_F32, 2, 2, four);
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    setenv("HOME", in_root("user"), 1);
    setenv("XDG_CACHE_HOME", in_root("xdg"), 1);
    setenv("HF_HOME", in_root("hf"), 1);
    setenv("HF_HUB_CACHE", "", 1); /* empty is not set */
    check_four("org/a");
    assert_refused("org/b", CM_MODEL, "no such checkpoint");
    unsetenv("HF_HOME");
    check_four("org/b");
    unsetenv("XDG_CACHE_HOME");
    check_four("org/c");
    unsetenv("HOME");
    assert_refused("org/c", CM_MODEL, "or //.cache/huggingface/hub");
    unsetenv("CROSSMAMBA_CHECKPOINTS");
    unsetenv("XDG_DATA_HOME");
    assert_int_equal(cm_weights_home(path, sizeof path, NULL), CM_USAGE);
    setenv("HOME", "/u", 1);
    assert_int_equal(cm_weights_home(path, sizeof path, NULL), CM_OK);
    assert_string_equal(path, "/u/.local/share/crossmamba/checkpoints");
    setenv("XDG_DATA_HOME", "relative", 1); /* does not count */
    assert_int_equal(cm_weights_home(path, sizeof path, NULL), CM_OK);
    assert_string_equal(path, "/u/.local/share/crossmamba/checkpoints");
    setenv("XDG_DATA_HOME", "/data", 1);
    assert_int_equal(cm_weights_home(path, sizeof path, NULL), CM_OK);
    assert_string_equal(path, "/data/crossmamba/checkpoints");
    unsetenv("XDG_DATA_HOME");
    if (home) setenv("HOME", home, 1);
    free(home);
    setenv("CROSSMAMBA_CHECKPOINTS", in_root("home"), 1);
    setenv("HF_HUB_CACHE", in_root("cache"), 1);
}

/* ---- import ---- */

static void copy_fixture(const char *name, const char *to) {
    char path[512];
    size_t size;
    const char *source = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, sizeof path, "%s/tests/fixtures/%s", source ? source : ".", name);
    unsigned char *bytes = file_bytes(path, &size);
    FILE *stream = fopen(in_root(to), "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    fclose(stream);
    free(bytes);
}

static void assert_import(const char *source, const char *target, bool force, cm_status status,
                          const char *says) {
    cm_weights_imported done = {0};
    cm_error error = {0};
    assert_int_equal(cm_weights_import(source, target, force, &done, &error), status);
    if (status != CM_OK) assert_says(&error, says);
    if (status == CM_OK) assert_string_equal(done.folder, says);
}

static void imports(void **state) {
    (void)state;
    float out[6];
    const float wanted[] = {0, 1, 2, 3, 4, 5};
    copy_fixture("torch_module.pt", "source/net.pt");
    write_text("source/config.json", "{}");
    write_text("source/vocab.txt", "A\n");
    assert_import(in_root("source/net.pt"), NULL, false, CM_OK, in_root("home/net"));
    cm_weights *weights = open_weights("net");
    assert_int_equal(cm_weights_count(weights), 3);
    const cm_tensor *tensor = cm_weights_find(weights, "a.weight"); /* without module. */
    assert_non_null(tensor);
    assert_int_equal(cm_weights_f32(weights, tensor, 0, 2, out, NULL), CM_OK);
    assert_memory_equal(out, wanted, sizeof wanted);
    assert_int_equal(cm_weights_find(weights, "count")->dtype, CM_DTYPE_I64);
    char *text;
    size_t length;
    assert_int_equal(cm_weights_text(weights, "vocab.txt", &text, &length, NULL), CM_OK);
    assert_string_equal(text, "A\n");
    cm_free(text);
    cm_weights_close(weights);
    assert_import(in_root("source/net.pt"), NULL, false, CM_USAGE, "found an imported checkpoint");
    assert_import(in_root("source/net.pt"), NULL, true, CM_OK, in_root("home/net"));
    remove(in_root("home/net/model.safetensors"));
    write_text("source/vocab.txt", "B\n");
    assert_import(in_root("source/net.pt"), NULL, false, CM_USAGE, "vocab.txt: found another version");
    assert_int_not_equal(access(in_root("home/net/model.safetensors"), F_OK), 0);
    assert_import(in_root("source/net.pt"), in_root("source"), false, CM_OK, in_root("source"));
    assert_import(in_root("source/net.pt"), in_root("a/b/c"), false, CM_OK, in_root("a/b/c"));
}

static void chooses_names(void **state) {
    (void)state;
    copy_fixture("torch_zip.pt", "encoder/pytorch_model.bin");
    assert_import(in_root("encoder/pytorch_model.bin"), NULL, false, CM_OK, in_root("home/encoder"));
    copy_fixture("torch_legacy.pt", "cache/models--org--old/snapshots/1/pytorch_model.bin");
    assert_import(in_root("cache/models--org--old/snapshots/1/pytorch_model.bin"), NULL, false, CM_OK,
                  in_root("home/org/old"));
    cm_weights *weights = open_weights("org/old");
    assert_int_equal(cm_weights_count(weights), 21);
    cm_weights_close(weights);
}

/* A link into the cache says as little as the file's own name; the folder that it leads to does. */
static void a_link_into_the_cache_has_the_name_of_the_repository(void **state) {
    (void)state;
    copy_fixture("torch_module.pt", "cache/models--org--linked/snapshots/1/pytorch_model.bin");
    in_root("links/x");
    assert_int_equal(
        symlink("../cache/models--org--linked/snapshots/1/pytorch_model.bin", in_root("links/net.bin")), 0);
    assert_import(in_root("links/net.bin"), NULL, false, CM_OK, in_root("home/org/linked"));
    copy_fixture("torch_module.pt", "cache/models--o--x/snapshots/1/pytorch_model.bin"); /* the shortest */
    assert_import(in_root("cache/models--o--x/snapshots/1/pytorch_model.bin"), NULL, false, CM_OK,
                  in_root("home/o/x"));
}

/* Two files of a single byte are compared, too. */
static void another_version_of_one_byte_is_refused(void **state) {
    (void)state;
    copy_fixture("torch_module.pt", "source/net.pt");
    write_text("source/vocab.txt", "A");
    write_text("target/vocab.txt", "B");
    assert_import(in_root("source/net.pt"), in_root("target"), false, CM_USAGE,
                  "vocab.txt: found another version");
    write_text("target/vocab.txt", "A");
    assert_import(in_root("source/net.pt"), in_root("target"), false, CM_OK, in_root("target"));
}

static void folders_above_are_made(void **state) {
    (void)state;
    copy_fixture("torch_module.pt", "above/net.pt");
    assert_import(in_root("above/net.pt"), in_root("above/one/two/three"), false, CM_OK,
                  in_root("above/one/two/three"));
    assert_int_equal(access(in_root("above/one/two/three"), F_OK), 0);
    assert_int_not_equal(access(in_root("above/on"), F_OK), 0); /* and no others */
    assert_int_not_equal(access(in_root("above/one/tw"), F_OK), 0);
}

static void refuses_imports(void **state) {
    (void)state;
    copy_fixture("torch_hostile.pt", "bad/hostile.pt");
    copy_fixture("torch_module.pt", "bad/pytorch_model-00001-of-00002.bin");
    assert_import(in_root("bad/hostile.pt"), NULL, false, CM_DATA, "global posix.system");
    assert_int_not_equal(access(in_root("home/hostile"), F_OK), 0); /* nothing was created */
    assert_import(in_root("bad/pytorch_model-00001-of-00002.bin"), NULL, false, CM_MODEL,
                  "one of several parts");
    assert_import(in_root("bad/none.pt"), NULL, false, CM_IO, "cannot open");
    assert_import(in_root("bad/none.txt"), NULL, false, CM_USAGE, "expected a .pt, .pth, .bin or .ckpt file");
    write_text("bad/file", "");
    copy_fixture("torch_module.pt", "bad/good.pt");
    assert_import(in_root("bad/good.pt"), in_root("bad/file/x"), false, CM_IO, "cannot create");
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    write_shards("{\"w\":\"model-1.safetensors\",\"a\":\"model-2.safetensors\"}");
    for (long n = 0;; n++) {
        cm_weights *weights = NULL;
        fail_alloc_from(n);
        cm_status status = cm_weights_open(&weights, in_root("shards"), NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_weights_close(weights);
        if (!failed) break;
    }
    copy_fixture("torch_module.pt", "source/net.pt");
    for (long n = 0;; n++) {
        cm_weights_imported done;
        fail_alloc_from(n);
        cm_status status = cm_weights_import(in_root("source/net.pt"), in_root("memory"), true, &done, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

/* ---- published checkpoints ---- */

static void imports_published_file(void **state) {
    (void)state;
    const char *data = getenv("CROSSMAMBA_DATA");
    if (!data) skip();
    char path[512];
    static float out[440 * 120];
    double sum = 0;
    snprintf(path, sizeof path, "%s/weights/rnabert_bert_mul_2.pth", data);
    assert_import(path, NULL, false, CM_OK, in_root("home/rnabert_bert_mul_2"));
    cm_weights *weights = open_weights("rnabert_bert_mul_2");
    const cm_tensor *tensor = cm_weights_find(weights, "bert.embeddings.position_embeddings.weight");
    assert_non_null(tensor);
    assert_int_equal(cm_weights_f32(weights, tensor, 0, 440, out, NULL), CM_OK);
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) sum += out[i];
    assert_true(fabs(sum + 36.35914190088647) < 1e-9); /* torch: .double().sum() */
    cm_weights_close(weights);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(finds_paths),
        TEST(finds_repositories),
        TEST(the_main_snapshot_is_the_one_named),
        TEST(short_paths),
        TEST(a_file_of_the_root_folder),
        TEST(names_the_import),
        TEST(shards),
        TEST(converts_types),
        TEST(a_long_row_is_read_alone),
        TEST(refuses_values),
        TEST(pages_are_given_back),
        TEST(hash_is_of_the_tensors),
        TEST(texts),
        TEST(imports),
        TEST(chooses_names),
        TEST(a_link_into_the_cache_has_the_name_of_the_repository),
        TEST(another_version_of_one_byte_is_refused),
        TEST(folders_above_are_made),
        TEST(refuses_imports),
        TEST(long_paths),
        TEST(folders_by_environment),
        TEST(every_allocation_may_fail),
        TEST(imports_published_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
