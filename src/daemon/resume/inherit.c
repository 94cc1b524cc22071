/* SPDX-License-Identifier: MIT */
#include "daemon/resume/inherit.h"

#include "daemon/resume/manifest.h"
#include "ivshmem-server.h"
#include "util/cleanup.h"

#include <string.h>
#include <sys/mman.h>

static int take(void *parcel, int there)
{
    return parcel_take(parcel, there);
}

/* The copy of a region's state, with the numbers here. seccomp-successor: memfd_create fcntl */
static int import_state(Parcel *parcel, int there, const char *region, ErrorText *error)
{
    _cleanup_close_ int from = parcel_take(parcel, there);
    _cleanup_close_ int to = memfd_create("ivshmem-state", MFD_CLOEXEC);
    char why[IVSHMEM_SERVER_ERROR_SIZE] = "";
    int r = to < 0 ? -errno : from < 0 ? -EBADF : 0;

    if (r < 0)
        (void)snprintf(why, sizeof(why), "%s", strerror(-r));
    else
        r = ivshmem_server_import(to, from, take, parcel, why);
    if (r < 0)
        return error_set(error, r, "the state of region %s cannot be used: %s", region, why);
    return fd_steal(&to);
}

/* Replaces the number under a name, if there is one. */
static int renumber(Parcel *parcel, json_t *object, const char *name, ErrorText *error)
{
    const json_t *there = json_object_get(object, name);
    int here;

    if (!there)
        return 0;
    here = parcel_take(parcel, (int)json_integer_value(there));
    if (here < 0)
        return error_set(error, -EBADF, "the manifest's '%s' is missing", name);
    return json_object_set_new(object, name, json_integer(here));
}

static int inherit_region(Parcel *parcel, json_t *region, ErrorText *error)
{
    const char *name = json_string_value(json_object_get(region, "name"));
    int there = (int)json_integer_value(json_object_get(region, "state-fd"));
    int fd = import_state(parcel, there, name ? name : "?", error);

    return fd < 0 ? fd : json_object_set_new(region, "state-fd", json_integer(fd));
}

static int inherit_all(Parcel *parcel, json_t *text, ErrorText *error)
{
    json_t *control = json_object_get(text, "control"), *region;
    size_t i;
    int r;

    json_array_foreach(json_object_get(text, "regions"), i, region)
    {
        r = inherit_region(parcel, region, error);
        if (r < 0)
            return r;
    }
    if ((r = renumber(parcel, control, "fd", error)) < 0 ||
        (r = renumber(parcel, control, "lock-fd", error)) < 0)
        return r;
    return renumber(parcel, json_object_get(text, "pidfile"), "fd", error);
}

int inherit(Parcel *parcel, int manifest, int predecessor_fd, int to, ErrorText *error)
{
    _cleanup_close_ int old = parcel_take(parcel, manifest);
    json_auto_t *text = old < 0 ? NULL : manifest_load(old, error);
    int r;

    if (old < 0)
        return error_set(error, -EBADF, "the manifest is missing");
    if (!text)
        return -EBADMSG;
    (void)json_object_del(text, "successor-fd"); /* that is us */
    r = inherit_all(parcel, text, error);
    if (r < 0)
        return r;
    if (predecessor_fd >= 0)
        (void)json_object_set_new(text, "predecessor-fd", json_integer(predecessor_fd));
    r = manifest_store(to, json_incref(text));
    if (r < 0)
        return error_set(error, r, "cannot write the manifest: %s", strerror(-r));
    parcel_leave(parcel); /* connections that are no clients yet, which a worker sorts out */
    return 0;
}
