/* SPDX-License-Identifier: MIT */
#include "daemon/process/sandbox.h"

#include "daemon/process/landlock.h"

#include "util/cleanup.h"

#include <errno.h>
#include <string.h>

#ifdef HAVE_SECCOMP
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/*
 * What libc needs on its own account, here because no place of ours calls it:
 * memory: seccomp: brk munmap mremap madvise mmap(2&PROT_EXEC=0) getrandom
 * time, stdio and the end: seccomp: clock_gettime write writev fstat newfstatat exit_group exit
 * signals, and abort() after a broken invariant: seccomp: rt_sigreturn rt_sigprocmask rt_sigaction
 * the same: seccomp: restart_syscall gettid getpid tgkill futex
 * a worker's own filter, under its keeper's: seccomp-keeper: seccomp
 */

/* A call, and what one of its arguments must be, if that matters: (value & mask) == wanted. */
typedef struct Allowed {
    int number;
    unsigned argument;
    uint64_t mask; /* 0: any arguments */
    uint64_t wanted;
    unsigned need; /* of SandboxNeeds; 0: always */
} Allowed;

#define ALWAYS    SANDBOX_SERVES
#define CHANGE    SANDBOX_CHANGES
#define KEEPER    SANDBOX_KEEPS
#define SUCCESSOR SANDBOX_INHERITS

static const Allowed allowed[] = {
#include "syscalls.inc"
};

static int add(scmp_filter_ctx filter, const Allowed *call)
{
    struct scmp_arg_cmp compare = {call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->wanted};

    if (call->number < 0)
        return 0; /* this architecture has no such call */
    return call->mask ? seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->number, 1, &compare)
                      : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->number, 0, NULL);
}

/* A filter for what the needs include. The caller releases it, also after a failure. */
static int make_filter(SandboxMode mode, unsigned needs, scmp_filter_ctx *filter)
{
    int r;

    *filter = seccomp_init(mode == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
    r = *filter ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if ((allowed[i].need & ~needs) == 0)
            r = add(*filter, &allowed[i]);
    return r;
}

static void release_filter(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

/* The program of the workers' filter, as the kernel takes it: to make one takes longer than all
 * else that a worker does before it goes on. */
static struct sock_fprog workers;

static int read_program(int fd)
{
    struct stat file;
    struct sock_filter *program;

    if (fstat(fd, &file) < 0)
        return -errno;
    program = malloc((size_t)file.st_size);
    if (!program)
        return -ENOMEM;
    if (pread(fd, program, (size_t)file.st_size, 0) != file.st_size) {
        free(program);
        return -EIO;
    }
    workers =
        (struct sock_fprog){(unsigned short)((size_t)file.st_size / sizeof(*program)), program};
    return 0;
}

static int prepare_workers(SandboxMode mode, unsigned needs)
{
    _cleanup_(release_filter) scmp_filter_ctx filter = NULL;
    int r = make_filter(mode, needs, &filter);
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);

    if (r == 0 && fd < 0)
        r = -errno;
    if (r == 0)
        r = seccomp_export_bpf(filter, fd);
    return r < 0 ? r : read_program(fd);
}

static int filter_calls(SandboxMode mode, unsigned needs)
{
    _cleanup_(release_filter) scmp_filter_ctx filter = NULL;
    int r;

    if (needs & SANDBOX_KEEPS && (r = prepare_workers(mode, needs & SANDBOX_CHANGES)) < 0)
        return r;
    r = make_filter(mode, needs, &filter);
    return r < 0 ? r : seccomp_load(filter);
}

static int filter_more(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &workers) < 0 ? -errno : 0;
}
#else
static int filter_calls(SandboxMode mode, unsigned needs)
{
    (void)mode, (void)needs;
    return 0; /* built without libseccomp: Landlock and the lack of privileges must do */
}

static int filter_more(void)
{
    return 0;
}
#endif

int sandbox_enter(SandboxMode mode, unsigned needs, const SandboxPath *paths, size_t n_paths,
                  ErrorText *error)
{
    int r;

    if (mode == SANDBOX_NONE)
        return 0;
    r = landlock_enter(paths, n_paths);
    if (r < 0)
        return error_set(error, r, "cannot restrict the access to files: %s", strerror(-r));
    r = filter_calls(mode, needs);
    if (r < 0)
        return error_set(error, r, "cannot restrict the system calls: %s", strerror(-r));
    return 0;
}

int sandbox_tighten(SandboxMode mode, ErrorText *error)
{
    int r = mode == SANDBOX_NONE ? 0 : filter_more();

    return r < 0 ? error_set(error, r, "cannot restrict the system calls: %s", strerror(-r)) : 0;
}
