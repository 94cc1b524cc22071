/* SPDX-License-Identifier: MIT */
/*
 * A device is ours if its vendor and device IDs are QEMU's for ivshmem. Everything else that can
 * be asked without opening it is in sysfs too; what a kernel does not show (a driver, an IOMMU
 * group) is what the device does not have.
 */
#include "device/pci.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "device/attribute.h"
#include "util/cleanup.h"
#include "util/size.h"

#define VENDOR_RED_HAT 0x1af4
#define DEVICE_IVSHMEM 0x1110

/* What scandir gives, and its cleanup. */
typedef struct Entries {
    struct dirent **at;
    int n;
} Entries;

static void free_entries(Entries *entries)
{
    for (int i = 0; i < entries->n; i++)
        free(entries->at[i]);
    free(entries->at);
}

/* By bytes and not by locale: of addresses of one width that is by number. */
static int compare(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_ivshmem(const char *root, const char *address)
{
    uint64_t vendor;
    uint64_t device;

    return attribute_read_number(root, address, "vendor", &vendor) == 0 &&
           attribute_read_number(root, address, "device", &device) == 0 &&
           vendor == VENDOR_RED_HAT && device == DEVICE_IVSHMEM;
}

int pci_resource(const char *root, const char *address, unsigned bar, PciResource *out)
{
    char path[PATH_MAX];
    char line[128] = "";
    uint64_t start;
    uint64_t end;
    FILE *file;
    int result = attribute_path(path, root, address, "resource");

    if (result < 0)
        return result;
    file = fopen(path, "re");
    if (!file)
        return -errno;
    for (unsigned i = 0; i <= bar; i++) {
        if (!fgets(line, sizeof(line), file))
            line[0] = '\0';
    }
    (void)fclose(file);
    if (sscanf(line, "%" SCNx64 " %" SCNx64, &start, &end) != 2 || end < start)
        return -EINVAL;
    *out = (PciResource){.start = start, .size = end ? end - start + 1 : 0};
    return 0;
}

/* A device that goes away meanwhile gives an error. */
static int describe(const char *root, const char *address, IvshmemDeviceInfo *out)
{
    IvshmemDeviceInfo info = {.iommu_group = -1};
    PciResource memory = {0};
    uint64_t revision;
    char group[16];
    int result;

    if (strlen(address) >= sizeof(info.address))
        return -ENAMETOOLONG;
    memcpy(info.address, address, strlen(address) + 1);
    result = attribute_read_number(root, address, "revision", &revision);
    if (result < 0)
        return result;
    info.revision = (unsigned)revision;
    result = pci_resource(root, address, BAR_MEMORY, &memory);
    if (result < 0)
        return result;
    info.memory_size = memory.size;
    if (attribute_link(root, address, "driver", info.driver, sizeof(info.driver)) < 0)
        info.driver[0] = '\0';
    if (attribute_link(root, address, "iommu_group", group, sizeof(group)) == 0) {
        uint64_t number;

        result = count_parse(group, 0, INT_MAX, &number);
        if (result < 0)
            return result;
        info.iommu_group = (int)number;
    }
    *out = info;
    return 0;
}

int pci_list(const char *root, IvshmemDeviceInfo *infos, size_t n_max)
{
    _cleanup_(free_entries) Entries entries = {0};
    char path[PATH_MAX];
    size_t n = 0;
    int result = snprintf(path, sizeof(path), "%s" PCI_DEVICES, root);

    if (result < 0 || (size_t)result >= sizeof(path))
        return -ENAMETOOLONG;
    entries.n = scandir(path, &entries.at, NULL, compare);
    if (entries.n < 0) {
        entries.n = 0;
        return errno == ENOENT ? 0 : -errno; /* a machine without PCI has none */
    }
    for (int i = 0; i < entries.n; i++) {
        IvshmemDeviceInfo info;

        if (!is_ivshmem(root, entries.at[i]->d_name))
            continue;
        if (describe(root, entries.at[i]->d_name, &info) < 0)
            continue;
        if (n < n_max)
            infos[n] = info;
        n++;
    }
    return (int)n;
}

/* "00:03.0" and "0000:00:03.0" alike; gives the kernel's spelling. */
static bool parse_address(const char *text, char out[static IVSHMEM_DEVICE_ADDRESS_SIZE])
{
    unsigned domain = 0;
    unsigned bus;
    unsigned slot;
    unsigned function;
    int end = -1;

    if (sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 ||
        text[end]) {
        domain = 0;
        end = -1;
        if (sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 || text[end])
            return false;
    }
    (void)snprintf(out, IVSHMEM_DEVICE_ADDRESS_SIZE, "%04x:%02x:%02x.%x", domain, bus, slot,
                   function);
    return true;
}

static int find_number(const char *root, const char *which, const LogSink *log,
                       IvshmemDeviceInfo *out)
{
    _cleanup_free_ IvshmemDeviceInfo *infos = NULL;
    uint64_t number;
    int room;
    int n = pci_list(root, NULL, 0);

    if (n < 0)
        return n;
    if (count_parse(which, 0, INT_MAX, &number) < 0) {
        log_line(log, LOG_ERR, "'%s' is neither a PCI address (0000:00:03.0) nor a number", which);
        return -EINVAL;
    }
    room = n; /* one that is plugged in between the two looks waits for the next */
    infos = calloc((size_t)room + 1, sizeof(*infos));
    if (!infos)
        return -ENOMEM;
    n = pci_list(root, infos, (size_t)room);
    if (n < 0)
        return n;
    if (number >= (uint64_t)n || number >= (uint64_t)room) {
        log_line(log, LOG_ERR, "there is no ivshmem device number %s: this machine has %d", which,
                 n);
        return -ENODEV;
    }
    *out = infos[number];
    return 0;
}

int pci_find(const char *root, const char *which, const LogSink *log, IvshmemDeviceInfo *out)
{
    char address[IVSHMEM_DEVICE_ADDRESS_SIZE];
    int result;

    if (!which || !strpbrk(which, ":."))
        return find_number(root, which ? which : "0", log, out);
    if (!parse_address(which, address)) {
        log_line(log, LOG_ERR, "'%s' is no PCI address (0000:00:03.0)", which);
        return -EINVAL;
    }
    if (!is_ivshmem(root, address)) {
        log_line(log, LOG_ERR, "%s: there is no ivshmem device at this address", address);
        return -ENODEV;
    }
    result = describe(root, address, out);
    if (result < 0)
        log_line(log, LOG_ERR, "%s: cannot read what the kernel knows of it: %s", address,
                 strerror(-result));
    return result;
}
