/* SPDX-License-Identifier: MIT */
/*
 * A manifest that somebody has written to on its way from one process to another: it is refused
 * with a reason, or the settings that are read from it are within their limits and come back as
 * they are when they are written and read again. An input is the file's header, 24 bytes, and the
 * text in its first place; the length that the header says counts, up to a bound.
 */
#include "daemon/resume/manifest.h"

#include "daemon/settings/settings-json.h"
#include "fuzz.h"
#include "util/cleanup.h"

#include <sys/mman.h>
#include <unistd.h>

#define HEADER      24
#define PLACE       ((off_t)1 << 30) /* of the text */
#define TEXT_LENGTH 16               /* where in the header it is, doubled */
#define MOST_TEXT   65536

static int make_file(const uint8_t *bytes, size_t n)
{
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    size_t n_header = n < HEADER ? n : HEADER;
    uint64_t length = 0;

    RULE(fd >= 0);
    RULE(pwrite(fd, bytes, n_header, 0) == (ssize_t)n_header);
    RULE(pwrite(fd, bytes + n_header, n - n_header, PLACE) == (ssize_t)(n - n_header));
    if (n_header == HEADER)
        memcpy(&length, bytes + TEXT_LENGTH, sizeof(length));
    if (length >> 1 > MOST_TEXT) { /* it would only be read for long */
        length = (uint64_t)(n - n_header) << 1;
        RULE(pwrite(fd, &length, sizeof(length), TEXT_LENGTH) == sizeof(length));
    }
    return fd;
}

static void check_text(const char *text, size_t size)
{
    RULE(memchr(text, '\0', size));
}

static void check_refusal(int r, const ErrorText *error)
{
    RULE(r >= 0 || (error->text[0] && memchr(error->text, '\0', sizeof(error->text))));
}

static void try_listener(json_t *text)
{
    ListenerSettings listener, again;
    ErrorText error = {.text = ""};
    json_t *written, *rewritten;
    int r;

    listener_settings_init(&listener);
    r = settings_json_read_listener(text, &listener, &error);
    check_refusal(r, &error);
    if (r < 0)
        return;
    check_text(listener.name, sizeof(listener.name));
    check_text(listener.path, sizeof(listener.path));
    check_text(listener.libvirt_name, sizeof(listener.libvirt_name));
    RULE(listener.policy.users.n <= POLICY_MAX && listener.policy.groups.n <= POLICY_MAX &&
         listener.policy.read_only.n <= POLICY_MAX);
    written = settings_json_of_listener(&listener);
    listener_settings_init(&again);
    RULE(settings_json_read_listener(written, &again, &error) == 0);
    rewritten = settings_json_of_listener(&again);
    RULE(json_equal(written, rewritten));
    json_decref(written);
    json_decref(rewritten);
}

static void try_region(json_t *text)
{
    RegionSettings region, again;
    ErrorText error = {.text = ""};
    json_t *written, *rewritten, *listener;
    size_t i;
    int r;

    region_settings_init(&region);
    r = settings_json_read_region(text, &region, &error);
    check_refusal(r, &error);
    if (r == 0) {
        check_text(region.name, sizeof(region.name));
        check_text(region.memory_path, sizeof(region.memory_path));
        check_text(region.file, sizeof(region.file));
        written = settings_json_of_region(&region);
        region_settings_init(&again);
        RULE(settings_json_read_region(written, &again, &error) == 0);
        rewritten = settings_json_of_region(&again);
        RULE(json_equal(written, rewritten));
        json_decref(written);
        json_decref(rewritten);
        region_settings_free(&again);
    }
    region_settings_free(&region);
    json_array_foreach(json_object_get(text, "listeners"), i, listener) try_listener(listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    _cleanup_close_ int fd = make_file(bytes, n);
    ErrorText error = {.text = ""};
    json_t *text = manifest_load(fd, &error), *region;
    size_t i;

    check_refusal(text ? 0 : -1, &error);
    json_array_foreach(json_object_get(text, "regions"), i, region) try_region(region);
    json_decref(text);
    return 0;
}
