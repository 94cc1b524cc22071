/* SPDX-License-Identifier: MIT */
#include "daemon/settings/settings-json.h"

#include "util/testing.h"

#include <errno.h>
#include <string.h>

#define SIZE 8

static void test_bytes_come_back(void **state)
{
    const char *const texts[] = {"", "/a", "\xff\x80\x7f", "1234567"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *value = settings_json_of_bytes(texts[i]);
        char out[SIZE];

        assert_true(settings_json_read_bytes(value, out, SIZE));
        assert_string_equal(out, texts[i]);
        json_decref(value);
    }
}

/* Too long, no byte's character (of three bytes, at the end), and no text. */
static void test_what_is_no_bytes_is_refused(void **state)
{
    json_t *const values[] = {json_string("12345678"), json_string("a\u20ac"),
                              json_string("\u0100"), json_integer(1), NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char out[SIZE];

        assert_false(settings_json_read_bytes(values[i], out, SIZE));
        json_decref(values[i]);
    }
}

/* A number that is no user's, but would be with fewer bits. */
static void test_users_are_numbers_of_users(void **state)
{
    const json_int_t numbers[] = {INT64_C(1) << 32, -1, INT64_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        json_t *text = json_pack("{s:[i,I]}", "allow-user", 7, numbers[i]);
        ListenerSettings settings;
        ErrorText error;

        listener_settings_init(&settings);
        assert_int_equal(settings_json_read_listener(text, &settings, &error), -EBADMSG);
        assert_string_equal(error.text, "the manifest is damaged: 'allow-user' is wrong");
        json_decref(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_what_is_no_bytes_is_refused),
        cmocka_unit_test(test_users_are_numbers_of_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
