/* SPDX-License-Identifier: MIT */
#include "daemon/resume/inherit.h"

#include "daemon/resume/manifest.h"
#include "util/cleanup.h"

#include <string.h>
#include <sys/mman.h>

/* seccomp-successor: memfd_create fcntl */
static int new_state(void)
{
    int fd = memfd_create("ivshmem-state", MFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* What is marked as passed may have been for somebody else, who has given up: it is in the rest
 * then, in which no other descriptor can have its number. */
static int take(void *opaque, int there, bool passed)
{
    Inheritance *inheritance = opaque;
    int fd = passed ? parcel_take(&inheritance->ahead, there) : -1;

    return fd < 0 ? parcel_take(&inheritance->rest, there) : fd;
}

/* The copy that was begun, or NULL. */
static InheritedState *find_begun(const Inheritance *inheritance, int from)
{
    for (unsigned i = 0; i < inheritance->n_states; i++) {
        InheritedState *state = &inheritance->states[i];

        if (state->fd >= 0 && ivshmem_server_import_is_of(state->import, from))
            return state;
    }
    return NULL;
}

/* @return the copy's memfd or a negative errno */
static int import_state(Inheritance *inheritance, int from, char why[IVSHMEM_SERVER_ERROR_SIZE])
{
    InheritedState *begun = find_begun(inheritance, from);
    _cleanup_close_ int to = begun ? fd_steal(&begun->fd) : new_state();
    int r = to < 0 ? to : 0;

    if (begun)
        r = ivshmem_server_import_end(begun->import, take, inheritance, why);
    else if (r == 0)
        r = ivshmem_server_import(to, from, take, inheritance, why);
    else
        (void)snprintf(why, IVSHMEM_SERVER_ERROR_SIZE, "%s", strerror(-r));
    return r < 0 ? r : fd_steal(&to);
}

/* The copy of a region's state, with the numbers here. */
static int inherit_state(Inheritance *inheritance, int there, const char *region, ErrorText *error)
{
    _cleanup_close_ int from = parcel_take(&inheritance->rest, there);
    char why[IVSHMEM_SERVER_ERROR_SIZE] = "it has not come";
    int r = from < 0 ? -EBADF : import_state(inheritance, from, why);

    return r < 0 ? error_set(error, r, "the state of region %s cannot be used: %s", region, why)
                 : r;
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

static int state_fd_of(const json_t *region)
{
    return (int)json_integer_value(json_object_get(region, "state-fd"));
}

static int inherit_region(Inheritance *inheritance, json_t *region, ErrorText *error)
{
    const char *name = json_string_value(json_object_get(region, "name"));
    int fd = inherit_state(inheritance, state_fd_of(region), name ? name : "?", error);

    return fd < 0 ? fd : json_object_set_new(region, "state-fd", json_integer(fd));
}

static int inherit_all(Inheritance *inheritance, json_t *text, ErrorText *error)
{
    Parcel *rest = &inheritance->rest;
    json_t *control = json_object_get(text, "control"), *region;
    size_t i;
    int r;

    json_array_foreach(json_object_get(text, "regions"), i, region)
    {
        r = inherit_region(inheritance, region, error);
        if (r < 0)
            return r;
    }
    if ((r = renumber(rest, control, "fd", error)) < 0 ||
        (r = renumber(rest, control, "lock-fd", error)) < 0)
        return r;
    return renumber(rest, json_object_get(text, "pidfile"), "fd", error);
}

int inherit(Inheritance *inheritance, int manifest, int predecessor_fd, int to, ErrorText *error)
{
    _cleanup_close_ int old = parcel_take(&inheritance->rest, manifest);
    json_auto_t *text = old < 0 ? NULL : manifest_load(old, error);
    int r;

    if (old < 0)
        return error_set(error, -EBADF, "the manifest is missing");
    if (!text)
        return -EBADMSG;
    (void)json_object_del(text, "successor-fd"); /* that is us */
    r = inherit_all(inheritance, text, error);
    if (r < 0)
        return r;
    if (predecessor_fd >= 0)
        (void)json_object_set_new(text, "predecessor-fd", json_integer(predecessor_fd));
    r = manifest_store(to, json_incref(text));
    if (r < 0)
        return error_set(error, r, "cannot write the manifest: %s", strerror(-r));
    parcel_leave(&inheritance->rest); /* connections that are no clients yet: a worker sorts out */
    parcel_free(&inheritance->ahead);
    for (unsigned i = 0; i < inheritance->n_states; i++) /* of regions that have gone meanwhile */
        inheritance->states[i].fd = fd_close(inheritance->states[i].fd);
    return 0;
}

/* Begins one copy. @return whether it could */
static bool begin(Inheritance *inheritance, json_t *region)
{
    InheritedState *state = &inheritance->states[inheritance->n_states];
    int from = parcel_at(&inheritance->ahead, state_fd_of(region));

    *state = (InheritedState){.fd = from < 0 ? -1 : new_state()};
    if (state->fd >= 0)
        state->import = ivshmem_server_import_begin(state->fd, from);
    if (!state->import) {
        fd_close(state->fd);
        return false;
    }
    inheritance->n_states++;
    return true;
}

void inherit_ahead(Inheritance *inheritance, int manifest_fd)
{
    ErrorText error;
    json_auto_t *text = manifest_load(manifest_fd, &error);
    json_t *regions = json_object_get(text, "regions"), *region;
    size_t i;

    parcel_expect(&inheritance->rest, inheritance->ahead.n);
    inheritance->states = calloc(json_array_size(regions) + 1, sizeof(*inheritance->states));
    if (!inheritance->states)
        return;
    json_array_foreach(regions, i, region)
    {
        int fd =
            begin(inheritance, region) ? inheritance->states[inheritance->n_states - 1].fd : -1;

        (void)json_object_set_new(region, "state-fd", json_integer(fd));
    }
    (void)manifest_store(manifest_fd, json_incref(text));
}

void inheritance_free(Inheritance *inheritance)
{
    for (unsigned i = 0; i < inheritance->n_states; i++) {
        ivshmem_server_import_free(inheritance->states[i].import);
        fd_close(inheritance->states[i].fd);
    }
    free(inheritance->states);
    parcel_free(&inheritance->ahead);
    parcel_free(&inheritance->rest);
    *inheritance = (Inheritance){0};
}
