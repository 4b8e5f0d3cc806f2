/* Runs a program and makes one of its system calls fail, cut short or end it, so that tests can walk through
 * every point at which the system can say no:
 *
 *     inject KIND NUMBER ACTION FROM COUNT-FILE PROGRAM [ARGUMENT ...]
 *
 * KIND     open read write sync rename close map truncate link, or "any" of these
 * NUMBER   which call of the kind, from 1 (0: none, only count); "N+" every call from N on
 * ACTION   EIO ENOSPC EINTR EMFILE ENOMEM EACCES, short (half of the bytes), kill (SIGKILL before the call)
 * FROM     counting begins with the first call that opens a path that holds this text: what the loader does
 *          before is not the program's
 * COUNT-FILE gets the number of calls of the kind, "-": none
 *
 * Exit status: the program's, 128 + signal when a signal ended it, 77 when the system does not allow tracing.
 * The calls are seen by ptrace, so that those of the C library and of LMDB, htslib and RDKit are among them;
 * standard error is left alone. x86-64. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *kind;
    long number;
} calls[] = {
    {"open", SYS_openat},     {"open", SYS_open},          {"open", SYS_memfd_create},
    {"read", SYS_read},       {"read", SYS_pread64},       {"read", SYS_readv},
    {"read", SYS_preadv},     {"write", SYS_write},        {"write", SYS_pwrite64},
    {"write", SYS_writev},    {"write", SYS_pwritev},      {"sync", SYS_fsync},
    {"sync", SYS_fdatasync},  {"sync", SYS_msync},         {"rename", SYS_rename},
    {"rename", SYS_renameat}, {"rename", SYS_renameat2},   {"close", SYS_close},
    {"map", SYS_mmap},        {"truncate", SYS_ftruncate}, {"truncate", SYS_fallocate},
    {"link", SYS_link},       {"link", SYS_linkat},        {"link", SYS_unlink},
    {"link", SYS_unlinkat},   {"link", SYS_mkdir},
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
              {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}};

typedef struct plan {
    const char *kind, *action, *from;
    long number, seen;
    bool on, every;
    int error; /* 0: the action is not an error */
} plan;

static bool is_kind(const plan *p, const struct user_regs_struct *r) {
    bool any = strcmp(p->kind, "any") == 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].number != (long)r->orig_rax) continue;
        if (!any && strcmp(calls[i].kind, p->kind) != 0) continue;
        bool by_descriptor = strcmp(calls[i].kind, "read") == 0 || strcmp(calls[i].kind, "write") == 0;
        if (by_descriptor && r->rdi == 2) return false;
        /* memory that is no file's is the allocator's matter */
        return strcmp(calls[i].kind, "map") != 0 || (int)r->r8 >= 0;
    }
    return false;
}

/* The path that an open names holds p->from. */
static bool opens_from(const plan *p, pid_t child, const struct user_regs_struct *r) {
    char text[512];
    size_t n = 0;
    if (r->orig_rax != SYS_openat && r->orig_rax != SYS_open) return false;
    unsigned long address = r->orig_rax == SYS_openat ? r->rsi : r->rdi;
    for (; n + sizeof(long) < sizeof text; n += sizeof(long)) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, child, address + n, NULL);
        if (errno) break;
        memcpy(text + n, &word, sizeof word);
        if (memchr(&word, 0, sizeof word)) break;
    }
    text[n + sizeof(long) < sizeof text ? n + sizeof(long) : sizeof text - 1] = '\0';
    return strstr(text, p->from) != NULL;
}

/* True when this call is the one (or one of those) to act on. */
static bool is_due(plan *p, pid_t child, const struct user_regs_struct *r) {
    if (!p->on) p->on = opens_from(p, child, r);
    if (!p->on || !is_kind(p, r)) return false;
    p->seen++;
    return p->number > 0 && (p->seen == p->number || (p->every && p->seen > p->number));
}

/* Before the call: an error replaces it by none at all. */
static void act(const plan *p, pid_t child, struct user_regs_struct *r) {
    if (strcmp(p->action, "kill") == 0) kill(child, SIGKILL);
    if (strcmp(p->action, "short") == 0 && r->rdx > 1) r->rdx /= 2;
    if (p->error) r->orig_rax = (unsigned long)-1;
    ptrace(PTRACE_SETREGS, child, NULL, r);
}

static int wait_status(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* From the first stop to the end of the program. Threads are left alone: only the first one is followed. */
static int follow(plan *p, pid_t child) {
    struct user_regs_struct r;
    bool inside = false, failing = false;
    int status, deliver = 0;
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (;;) {
        ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)deliver);
        if (waitpid(child, &status, 0) < 0) return 1;
        if (WIFEXITED(status) || WIFSIGNALED(status)) return wait_status(status);
        deliver = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            if (WSTOPSIG(status) != SIGTRAP) deliver = WSTOPSIG(status);
            continue;
        }
        ptrace(PTRACE_GETREGS, child, NULL, &r);
        inside = !inside;
        if (inside) {
            failing = is_due(p, child, &r);
            if (failing) act(p, child, &r);
        } else if (failing && p->error) {
            r.rax = (unsigned long)-p->error;
            ptrace(PTRACE_SETREGS, child, NULL, &r);
        }
    }
}

static int start(plan *p, char **program) {
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
        raise(SIGSTOP);
        execv(program[0], program);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) < 0) return 1;
    return WIFSTOPPED(status) ? follow(p, child) : wait_status(status);
}

int main(int count, char **arguments) {
    if (count < 7) return 2;
    char *end;
    plan p = {.kind = arguments[1], .action = arguments[3], .from = arguments[4]};
    p.number = strtol(arguments[2], &end, 10);
    p.every = *end == '+';
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, p.action) == 0) p.error = errors[i].number;
    int result = start(&p, arguments + 6);
    if (strcmp(arguments[5], "-") != 0) {
        FILE *file = fopen(arguments[5], "w");
        if (!file || fprintf(file, "%ld\n", p.seen) < 0 || fclose(file) != 0) return 2;
    }
    return result;
}
