/* SPDX-License-Identifier: MIT */
/* Words of a command line as arguments of a command. Of what type each is, the server says. */
#include "tools/ctl/ctl.h"

#include "util/cleanup.h"

#include <stdlib.h>
#include <string.h>

static bool is_called(const json_t *object, const char *name)
{
    const char *own = json_string_value(json_object_get(object, "name"));

    return own && strcmp(own, name) == 0;
}

/* What query-commands says of an argument of ours: borrowed, or NULL. */
static const json_t *find_argument(const json_t *commands, const char *command, const char *name)
{
    const json_t *arguments;
    size_t i, j;
    json_t *row;

    json_array_foreach(commands, i, row)
    {
        if (!is_called(row, command))
            continue;
        arguments = json_object_get(row, "arguments");
        for (j = 0; j < json_array_size(arguments); j++)
            if (is_called(json_array_get(arguments, j), name))
                return json_array_get(arguments, j);
    }
    return NULL;
}

static json_t *parse_integer(const char *text)
{
    char *end;
    long long number;

    errno = 0;
    number = strtoll(text, &end, 10);
    return *text && !*end && errno == 0 ? json_integer(number) : NULL;
}

static json_t *parse_boolean(const char *text)
{
    if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
        return json_true();
    return strcmp(text, "no") == 0 || strcmp(text, "false") == 0 ? json_false() : NULL;
}

static json_t *parse_array(const char *text)
{
    json_t *array = json_array();

    while (*text) {
        size_t length = strcspn(text, ",");

        (void)json_array_append_new(array, json_stringn(text, length));
        text += length + (text[length] == ',');
    }
    return array;
}

static json_t *parse(const char *type, const char *text)
{
    if (strcmp(type, "integer") == 0)
        return parse_integer(text);
    if (strcmp(type, "boolean") == 0)
        return parse_boolean(text);
    if (strcmp(type, "array") == 0)
        return parse_array(text);
    return json_string(text);
}

static bool add(json_t *arguments, const json_t *commands, const char *command, const char *name,
                const char *text)
{
    const json_t *argument = find_argument(commands, command, name);
    const char *type = json_string_value(json_object_get(argument, "type"));
    json_t *value;

    if (!type) {
        (void)ctl_error("%s has no argument '%s'", command, name);
        return false;
    }
    if (json_object_get(arguments, name)) {
        (void)ctl_error("%s: the argument '%s' comes a second time", command, name);
        return false;
    }
    value = parse(type, text);
    if (!value) {
        (void)ctl_error("%s: '%s' is not a value of the argument '%s': %s", command, text, name,
                        strcmp(type, "boolean") == 0 ? "yes or no" : type);
        return false;
    }
    return json_object_set_new(arguments, name, value) == 0;
}

static bool add_word(json_t *arguments, const json_t *commands, const CtlCommand *command,
                     const char *word, int *n_positional)
{
    const char *equals = strchr(word, '=');
    char name[64];

    if (!equals) {
        const char *own_name =
            *n_positional < MAX_POSITIONAL ? command->positional[*n_positional] : NULL;

        if (!own_name) {
            (void)ctl_error("%s: unexpected argument '%s' (see --help)", command->name, word);
            return false;
        }
        (*n_positional)++;
        return add(arguments, commands, command->execute, own_name, word);
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
    return add(arguments, commands, command->execute, name, equals + 1);
}

json_t *ctl_arguments(Qmp *qmp, const CtlOptions *options)
{
    const CtlCommand *command = options->command;
    json_t *arguments = json_object(), *commands = NULL;
    int n_positional = 0;
    bool right = true;

    if (options->n_words && !(commands = ctl_ask(qmp, "query-commands", NULL)))
        right = false;
    for (int i = 0; right && i < options->n_words; i++)
        right = add_word(arguments, commands, command, options->words[i], &n_positional);
    for (int i = 0; right && i < command->n_required; i++)
        if (!json_object_get(arguments, command->positional[i])) {
            (void)ctl_error("%s needs %s (see --help)", command->name, command->arguments);
            right = false;
        }
    json_decref(commands);
    if (right)
        return arguments;
    json_decref(arguments);
    return NULL;
}
