/* SPDX-License-Identifier: MIT */
#include "tools/client/devices.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void devices_free(Devices *devices)
{
    free(devices->at);
}

static int find_all(Devices *devices)
{
    int n = ivshmem_device_list(NULL, NULL, 0);

    if (n <= 0)
        return n < 0 ? tool_error("cannot look for devices: %s", strerror(-n)) : STATUS_OK;
    devices->at = calloc((size_t)n, sizeof(*devices->at));
    if (!devices->at)
        return tool_error("there is no memory for a list of %d devices", n);
    devices->n = (size_t)n;
    n = ivshmem_device_list(NULL, devices->at, devices->n);
    if (n >= 0 && (size_t)n < devices->n)
        devices->n = (size_t)n;
    return STATUS_OK;
}

/* Leaves only one in the list: a number of it, or an address with or without its domain. */
static int keep(Devices *devices, const char *which)
{
    char *end;
    unsigned long number = strtoul(which, &end, 10);
    size_t length = strlen(which);

    for (size_t i = 0; i < devices->n; i++) {
        const char *address = devices->at[i].address;
        size_t skipped;

        assert(address); /* find_all() has filled it in */
        skipped = strlen(address) >= length ? strlen(address) - length : 0;

        if ((*which && !*end && number == i) ||
            (length >= 7 && !strcmp(address + skipped, which))) {
            devices->at[0] = devices->at[i];
            devices->n = 1;
            return STATUS_OK;
        }
    }
    return tool_error("there is no ivshmem device '%s'", which);
}

int devices_find(Devices *devices, const ToolOptions *options)
{
    const char *port = options->port;

    *devices = (Devices){0};
    if (options->socket || (port && strncmp(port, PCI_SCHEME, strlen(PCI_SCHEME)) != 0))
        return tool_error("%s is for a device: --port pci:ADDRESS, or none for all of them",
                          options->command->name);
    if (find_all(devices) != STATUS_OK)
        return STATUS_ERROR;
    if (!port)
        return STATUS_OK;
    port += strlen(PCI_SCHEME);
    return keep(devices, strcmp(port, "auto") == 0 ? "0" : port);
}
