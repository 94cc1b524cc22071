/* SPDX-License-Identifier: MIT */
/*
 * A guest can be as small as one program, so there may be no modprobe. Then each module that vfio
 * consists of is loaded from where kernels keep it, in the order of their needs. Kernels differ in
 * which of them they have (vfio_virqfd is older than 6.2, iommufd younger than that), so a file
 * that is not there is passed over; what counts is the driver in the end.
 */
#include "tools/client/modules.h"

#include "tools/client/tool.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define DRIVER     "/sys/bus/pci/drivers/vfio-pci"
#define IOMMU      "/sys/module/vfio_iommu_type1"
#define COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE of linux/module.h, since 5.17 */

static const char *const modprobes[] = {"/sbin/modprobe", "/usr/sbin/modprobe"};

static const char *const modules[] = {
    "virt/lib/irqbypass",        "drivers/iommu/iommufd/iommufd",
    "drivers/vfio/vfio",         "drivers/vfio/vfio_iommu_type1",
    "drivers/vfio/vfio_virqfd",  "drivers/vfio/pci/vfio-pci-core",
    "drivers/vfio/pci/vfio-pci",
};

static const struct {
    const char *name;
    int flags;
} suffixes[] = {
    {".ko", 0}, {".ko.xz", COMPRESSED}, {".ko.zst", COMPRESSED}, {".ko.gz", COMPRESSED}};

bool modules_are_loaded(void)
{
    return access(DRIVER, F_OK) == 0 && access(IOMMU, F_OK) == 0;
}

static int run_modprobe(const char *program)
{
    const char *arguments[] = {program, "-a", "vfio-pci", "vfio_iommu_type1", NULL};
    pid_t pid;
    int status;
    int error =
        posix_spawn(&pid, program, NULL, NULL, (char *const *)(uintptr_t)arguments, environ);

    if (error)
        return tool_error("cannot run %s: %s", program, strerror(error));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return tool_error("cannot wait for %s: %s", program, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return STATUS_OK;
    return tool_error("%s could not load vfio-pci", program);
}

/* Opens a module's file in the form that there is. -1 and errno if there is none. */
static int open_module(const char *release, const char *module, char path[static PATH_MAX],
                       int *flags)
{
    int fd = -1;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && fd < 0; i++) {
        (void)snprintf(path, PATH_MAX, "/lib/modules/%s/kernel/%s%s", release, module,
                       suffixes[i].name);
        *flags = suffixes[i].flags;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return -1;
    }
    return fd;
}

static int load(const char *release, const char *module, bool show)
{
    char path[PATH_MAX];
    int flags;
    _cleanup_close_ int fd = open_module(release, module, path, &flags);

    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : tool_error("%s: %s", path, strerror(errno));
    if (show) {
        (void)printf("insmod %s\n", path);
        return STATUS_OK;
    }
    if (syscall(SYS_finit_module, fd, "", flags) == 0 || errno == EEXIST)
        return STATUS_OK;
    return tool_error("cannot load %s: %s", path, strerror(errno));
}

static int load_files(bool show)
{
    struct utsname kernel;

    if (uname(&kernel) < 0)
        return tool_error("uname: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
        if (load(kernel.release, modules[i], show) != STATUS_OK)
            return STATUS_ERROR;
    if (show || modules_are_loaded())
        return STATUS_OK;
    return tool_error("the kernel has no vfio-pci: neither modprobe nor the modules of vfio in "
                      "/lib/modules/%s are there",
                      kernel.release);
}

int modules_load(bool show)
{
    if (modules_are_loaded())
        return STATUS_OK;
    for (size_t i = 0; i < sizeof(modprobes) / sizeof(modprobes[0]); i++) {
        if (access(modprobes[i], X_OK) < 0)
            continue;
        if (!show)
            return run_modprobe(modprobes[i]);
        (void)puts("modprobe -a vfio-pci vfio_iommu_type1");
        return STATUS_OK;
    }
    return load_files(show);
}
