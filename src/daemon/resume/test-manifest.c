/* SPDX-License-Identifier: MIT */
/* A manifest is found again as it was, after any number of changes; wherever its file is cut short,
 * it is refused with a reason. */
#include "daemon/resume/manifest.h"

#include "util/cleanup.h"
#include "util/testing.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER 24                 /* bytes before there is anything else */
#define PLACE  (INT64_C(1) << 30) /* bytes between the two places of the text */

static json_t *text_of(int number)
{
    return json_pack("{s:s, s:[{s:s, s:i}], s:i}", "version", "1.2.3", "regions", "name", "web",
                     "state-fd", number, "number", number);
}

static void assert_found(int fd, int number)
{
    ErrorText error;
    json_auto_t *found = manifest_load(fd, &error), *expected = text_of(number);

    assert_non_null(found);
    assert_true(json_equal(found, expected));
}

static void assert_refused(int fd)
{
    ErrorText error = {.text = ""};

    assert_null(manifest_load(fd, &error));
    assert_non_null(strstr(error.text, "manifest"));
}

static void test_found_again(void **state)
{
    _cleanup_close_ int fd = manifest_new();

    (void)state;
    assert_true(fd >= 0);
    for (int number = 0; number < 5; number++) {
        assert_int_equal(manifest_store(fd, text_of(number)), 0);
        assert_found(fd, number);
    }
}

/* A memfd that has the same first bytes, which end there. */
static int copy(int from, off_t end)
{
    int to = memfd_create("copy", MFD_CLOEXEC);
    char bytes[4096];

    assert_true(to >= 0);
    for (off_t at = 0; at < end; at += PLACE) {
        ssize_t n = pread(from, bytes, sizeof(bytes), at);

        assert_true(n >= 0);
        if (n > end - at)
            n = end - at;
        assert_int_equal(pwrite(to, bytes, (size_t)n, at), n);
    }
    assert_int_equal(ftruncate(to, end), 0);
    return to;
}

/* Cuts a copy at each of the bytes from first to last, the last one first. */
static void cut(int from, off_t first, off_t last)
{
    _cleanup_close_ int fd = copy(from, last + 1);

    for (off_t end = last; end >= first; end--) {
        assert_int_equal(ftruncate(fd, end), 0);
        assert_refused(fd);
    }
}

/* The text that counts is in the one place or in the other. */
static void test_cut_short_at_each_byte(void **state)
{
    _cleanup_close_ int fd = manifest_new();

    (void)state;
    assert_true(fd >= 0);
    for (int number = 0; number < 2; number++) {
        json_auto_t *text = text_of(number);
        _cleanup_free_ char *line = json_dumps(text, JSON_COMPACT);
        off_t place = PLACE * (number == 0 ? 2 : 1), end = place + (off_t)strlen(line);
        _cleanup_close_ int whole = -1;

        assert_int_equal(manifest_store(fd, json_incref(text)), 0);
        whole = copy(fd, end);
        assert_found(whole, number);
        cut(fd, place - 1, end - 1);
        cut(fd, 0, HEADER + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_cut_short_at_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
