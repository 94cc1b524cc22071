/* SPDX-License-Identifier: MIT */
/*
 * One file, by inih. What inih does not tell its user is seen by the reader that hands it the
 * lines: their numbers, sections that are empty or come twice, lines that it would cut or take for
 * the continuation of another.
 */
#include "daemon/config-file.h"

#include "daemon/config.h"
#include "daemon/key.h"
#include "util/cleanup.h"

#include <ctype.h>
#include <ini.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE_LINES  100000
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

typedef struct Reading {
    const char *path;
    FILE *file;
    Problems *problems;
    RegionSettings *settings;
    unsigned line;
    const KeyTable *table; /* of the section; NULL: there is none that is right */
    void *section;         /* what its keys are stored in */
    bool has_region, has_wrong_section;
    uint32_t seen; /* keys of the section, by their place in the table */
} Reading;

_Static_assert(KEYS_MAX <= 32, "a bit each");

#define problem(reading, format, ...)                                                              \
    problems_add((reading)->problems, "%s:%u: " format, (reading)->path, (reading)->line,          \
                 ##__VA_ARGS__)

static char *strip(char *line)
{
    size_t length;

    line += strspn(line, " \t");
    length = strlen(line);
    while (length && isspace((unsigned char)line[length - 1]))
        line[--length] = '\0';
    return line;
}

static ListenerSettings *find_listener(RegionSettings *settings, const char *name)
{
    for (unsigned i = 0; i < settings->n_listeners; i++)
        if (strcmp(settings->listeners[i].name, name) == 0)
            return &settings->listeners[i];
    return NULL;
}

static void begin_region(Reading *reading)
{
    if (reading->has_region)
        problem(reading, "section [region] comes a second time");
    reading->has_region = true;
    reading->table = &region_keys;
    reading->section = reading->settings;
}

static void begin_listener(Reading *reading, const char *name)
{
    ListenerSettings *listener;
    ErrorText why;

    if (!key_is_name(name, &why)) {
        problem(reading, "section [listener %.64s]: %s", name, why.text);
        return;
    }
    if (find_listener(reading->settings, name)) {
        problem(reading, "section [listener %s] comes a second time", name);
        return;
    }
    listener = region_settings_add(reading->settings);
    if (!listener) {
        problem(reading, "no room for another listener: a region has %d at most",
                SETTINGS_MAX_SOCKETS);
        return;
    }
    strcpy(listener->name, name);
    listener->config.observers = strcmp(name, CONFIG_OBSERVERS) == 0;
    listener->line = reading->line;
    reading->table = &listener_keys;
    reading->section = listener;
}

static bool is_comment(const char *text)
{
    return !*text || *text == ';' || *text == '#';
}

/* A line that begins with a bracket. */
static void begin_section(Reading *reading, char *line)
{
    char *end = strchr(line, ']');
    char *name = strip(line + 1);

    reading->table = NULL;
    reading->seen = 0;
    if (!end || !is_comment(strip(end + 1))) {
        reading->has_wrong_section = true;
        problem(reading, "a section is [region] or [listener NAME], alone on its line");
        return;
    }
    *end = '\0';
    name = strip(name);
    if (strcmp(name, "region") == 0)
        begin_region(reading);
    else if (strncmp(name, "listener", 8) == 0 && isspace((unsigned char)name[8]))
        begin_listener(reading, strip(name + 8));
    else
        problem(reading, "there is no section [%.64s]; there are [region] and [listener NAME]",
                name);
}

/* Reads a whole line, of which inih gets at most what it can take. Of one that it cannot take, it
 * gets nothing. */
static bool get_line(Reading *reading, char line[static CONFIG_MAX_LINE + 1])
{
    bool has_zero = false;
    size_t length = 0;
    int c;

    while ((c = getc(reading->file)) != EOF && c != '\n') {
        if (length < CONFIG_MAX_LINE)
            line[length] = (char)c;
        length++;
        has_zero |= c == '\0';
    }
    if (c == EOF && length == 0)
        return false;
    reading->line++;
    line[length <= CONFIG_MAX_LINE ? length : 0] = '\0';
    if (length > CONFIG_MAX_LINE)
        problem(reading, "the line has more than %d bytes", CONFIG_MAX_LINE);
    else if (has_zero)
        problem(reading, "the line has a zero byte");
    if (has_zero)
        line[0] = '\0';
    return true;
}

/* Whether inih finds a key: what follows a semicolon after a space is a comment for it. */
static bool is_key(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '=' || *c == ':')
            return true;
        if (*c == ';' && c > text && isspace((unsigned char)c[-1]))
            return false;
    }
    return false;
}

/* inih's source of lines. It gets keys and nothing else that could be wrong. */
static char *give_line(char *out, int size, void *stream)
{
    Reading *reading = stream;
    char line[CONFIG_MAX_LINE + 1], nothing[] = "", *text;

    if (!get_line(reading, line))
        return NULL;
    if (reading->line > MAX_FILE_LINES) {
        problem(reading, "the file has more than %d lines", MAX_FILE_LINES);
        return NULL;
    }
    text = line;
    while (reading->line == 1 && strncmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        text += strlen(BYTE_ORDER_MARK); /* inih would, and find what we have not seen */
    text = strip(text);
    if (*text == '[') {
        begin_section(reading, text);
        text = nothing;
    } else if (!is_comment(text) && !is_key(text)) {
        problem(reading, "neither a section nor KEY = VALUE");
        text = nothing;
    }
    (void)snprintf(out, (size_t)size, "%s\n", text);
    return out;
}

static void tell_wrong(Reading *reading, const char *name, const char *value, const ErrorText *why)
{
    problem(reading, "%s '%s': %s", name, value, why->text);
    if (reading->table == &listener_keys)
        ((ListenerSettings *)reading->section)->is_wrong = true;
}

static void take_key(Reading *reading, const char *name, const char *value)
{
    const Key *key = key_find(reading->table, name);
    ErrorText why;
    uint32_t bit;

    if (!key) {
        problem(reading, "there is no key '%s' in this section", name);
        return;
    }
    bit = 1U << (key - reading->table->keys);
    if (reading->seen & bit && key->type != KEY_LIST)
        problem(reading, "%s comes a second time in its section", name);
    else if (!*value)
        problem(reading, "%s: the value is missing", name);
    else if (!key->store(key, reading->section, value, &why))
        tell_wrong(reading, name, value, &why);
    reading->seen |= bit;
}

static int handle_key(void *user, const char *section, const char *name, const char *value)
{
    Reading *reading = user;

    (void)section;
    if (reading->table)
        take_key(reading, name, value);
    else if (!reading->has_region && !reading->settings->n_listeners && !reading->has_wrong_section)
        problem(reading, "%s stands before any section", name);
    return 1; /* what is wrong has been said */
}

void config_file_read(const char *path, RegionSettings *settings, Problems *problems)
{
    Reading reading = {.path = path, .problems = problems, .settings = settings};
    struct stat found;

    reading.file = fopen(path, "re");
    if (!reading.file) {
        problems_add(problems, "%s: %s", path, strerror(errno));
        return;
    }
    if (fstat(fileno(reading.file), &found) == 0 && S_ISDIR(found.st_mode))
        problems_add(problems, "%s: is a folder", path);
    else if (ini_parse_stream(give_line, &reading, handle_key, &reading) != 0 ||
             ferror(reading.file))
        problems_add(problems, "%s: cannot be read", path);
    else if (!reading.has_region && !reading.has_wrong_section)
        problems_add(problems, "%s: there is no section [region]", path);
    (void)fclose(reading.file);
}
