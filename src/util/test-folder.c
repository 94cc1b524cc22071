/* SPDX-License-Identifier: MIT */
#include "util/folder.h"
#include "util/testing.h"

#include <string.h>

static void test_folders(void **state)
{
    static const char *const cases[][2] = {
        {"name", "."},         {"", "."},         {"/name", "/"},      {"/", "/"},
        {"a/name", "a"},       {"./name", "."},   {"../name", ".."},   {"/a/name", "/a"},
        {"/a/b/name", "/a/b"}, {"/a/b/", "/a/b"}, {"/a//name", "/a/"},
    };
    char buffer[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(folder_of(cases[i][0], buffer), cases[i][1]);
}

/* No path of the system's is so long that its folder does not fit. */
static void test_longest(void **state)
{
    char path[PATH_MAX + 3], buffer[PATH_MAX];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    memcpy(path + PATH_MAX - 1, "/n", 3);
    assert_ptr_equal(folder_of(path, buffer), buffer);
    assert_int_equal(strlen(buffer), PATH_MAX - 1);
    memcpy(path + PATH_MAX - 1, "x/n", 4);
    assert_string_equal(folder_of(path, buffer), "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
