/* SPDX-License-Identifier: MIT */
#include "daemon/control/command.h"

#include "daemon/control/control.h"
#include "daemon/control/json.h"

#include <errno.h>
#include <string.h>

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    return NULL;
}

static const Argument *find_argument(const Command *command, const char *name)
{
    for (const Argument *argument = command->arguments; argument->name; argument++)
        if (strcmp(argument->name, name) == 0)
            return argument;
    return NULL;
}

static int check_argument(const Argument *argument, const json_t *value, ErrorText *error)
{
    switch (argument->type) {
    case ARGUMENT_STRING:
        if (json_is_string(value))
            return 0;
        return error_set(error, -EINVAL, "argument '%s' is not a string", argument->name);
    case ARGUMENT_BOOLEAN:
        if (json_is_boolean(value))
            return 0;
        return error_set(error, -EINVAL, "argument '%s' is neither true nor false", argument->name);
    case ARGUMENT_INTEGER:
        if (json_is_integer(value) && json_integer_value(value) >= 0 &&
            json_integer_value(value) <= argument->max)
            return 0;
        return error_set(error, -EINVAL,
                         "argument '%s' is not a number from 0 to %" JSON_INTEGER_FORMAT,
                         argument->name, argument->max);
    }
    return -EINVAL;
}

static int check_arguments(const Command *command, json_t *arguments, ErrorText *error)
{
    const char *name;
    json_t *value;
    int r;

    json_object_foreach(arguments, name, value)
    {
        const Argument *argument = find_argument(command, name);

        if (!argument && command->keys && key_find(command->keys, name))
            continue; /* checked when it is stored */
        if (!argument)
            return error_set(error, -EINVAL, "%s has no argument '%s'", command->name, name);
        r = check_argument(argument, value, error);
        if (r < 0)
            return r;
    }
    for (const Argument *argument = command->arguments; argument->name; argument++)
        if (argument->required && !json_object_get(arguments, argument->name))
            return error_set(error, -EINVAL, "%s needs the argument '%s'", command->name,
                             argument->name);
    return 0;
}

static const char *class_of(int error)
{
    return error == -ENOENT ? "DeviceNotFound" : "GenericError";
}

static json_t *run(const Session *session, const Command *command, json_t *arguments)
{
    json_t *result = NULL;
    ErrorText error;
    int r;

    if (command->changes && !session->may_change)
        return json_error("GenericError", "only root and the server's user may do that");
    r = check_arguments(command, arguments, &error);
    if (r == 0)
        r = command->run(session->control->daemon, arguments, &result, &error);
    if (r < 0)
        return json_error(class_of(r), error.text);
    return json_pack("{s:o}", "return", result ? result : json_object());
}

/* Negotiation: before it there is only qmp_capabilities, which offers none. */
static json_t *negotiate(Session *session, const json_t *arguments)
{
    const json_t *enable = json_object_get(arguments, "enable");

    if (session->is_negotiated)
        return json_error("CommandNotFound",
                          "Capabilities negotiation is already complete, command ignored");
    if (json_object_size(arguments) > (enable ? 1 : 0))
        return json_error("GenericError", "qmp_capabilities has no argument but 'enable'");
    if (enable && (!json_is_array(enable) || json_array_size(enable)))
        return json_error("GenericError", "there is no capability to enable");
    session->is_negotiated = true;
    return json_pack("{s:{}}", "return");
}

static json_t *execute(Session *session, const char *name, json_t *arguments)
{
    const Command *command = find_command(name);
    char description[160];

    if (strcmp(name, "qmp_capabilities") == 0)
        return negotiate(session, arguments);
    if (!session->is_negotiated)
        return json_error("CommandNotFound",
                          "Expecting capabilities negotiation with 'qmp_capabilities'");
    if (command)
        return run(session, command, arguments);
    (void)snprintf(description, sizeof(description), "The command %.100s has not been found", name);
    return json_error("CommandNotFound", description);
}

/* What is wrong with the form of a message, or NULL. */
static const char *check_form(json_t *message)
{
    const char *name;
    json_t *value;

    json_object_foreach(message, name, value)
    {
        if (strcmp(name, "execute") != 0 && strcmp(name, "arguments") != 0 &&
            strcmp(name, "id") != 0)
            return "only 'execute', 'arguments' and 'id' are expected";
    }
    if (!json_is_string(json_object_get(message, "execute")))
        return "'execute' is missing, or no string";
    value = json_object_get(message, "arguments");
    return value && !json_is_object(value) ? "'arguments' is not an object" : NULL;
}

static json_t *answer_message(Session *session, json_t *message)
{
    const char *wrong = check_form(message);
    json_t *arguments, *answer;

    if (wrong)
        return json_error("GenericError", wrong);
    arguments = json_object_get(message, "arguments");
    arguments = arguments ? json_incref(arguments) : json_object();
    answer = execute(session, json_string_value(json_object_get(message, "execute")), arguments);
    json_decref(arguments);
    return answer;
}

json_t *command_answer(Session *session, const char *text, size_t length)
{
    json_error_t wrong;
    json_t *message = json_loadb(text, length, JSON_REJECT_DUPLICATES, &wrong);
    json_t *answer;

    if (!message) {
        ErrorText error;

        (void)error_set(&error, 0, "Invalid JSON: %s", wrong.text);
        return json_error("GenericError", error.text);
    }
    if (json_is_object(message)) {
        answer = answer_message(session, message);
        if (answer && json_object_get(message, "id"))
            (void)json_object_set(answer, "id", json_object_get(message, "id"));
    } else {
        answer = json_error("GenericError", "a command is an object");
    }
    json_decref(message);
    return answer;
}
