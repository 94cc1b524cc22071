/* SPDX-License-Identifier: MIT */
/*
 * One file, by inih. What inih does not tell its user is seen by the reader that hands it the
 * lines: their numbers, sections that are empty or come twice, lines that it would cut or take for
 * the continuation of another.
 */
#include "daemon/settings/config-file.h"

#include "daemon/settings/config.h"
#include "daemon/settings/key.h"
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
    const KeyTable *table; /* of the section; NULL: nobody knows what it is, and any key may be */
    void *section;         /* what its keys are stored in */
    bool has_section, has_region, has_wrong_section;
    uint32_t seen; /* keys of the section, by their place in the table */
    /* For the keys of sections that are wrong: they are looked at, and then forgotten. */
    RegionSettings spare_region;
    ListenerSettings spare_listener;
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
    reading->table = &region_keys;
    reading->section = reading->settings;
    if (reading->has_region) {
        problem(reading, "section [region] comes a second time");
        reading->section = &reading->spare_region;
    }
    reading->has_region = true;
}

static void begin_listener(Reading *reading, const char *name)
{
    ListenerSettings *listener;
    ErrorText why;

    reading->table = &listener_keys;
    reading->section = &reading->spare_listener;
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
    reading->section = listener;
}

static bool is_comment(const char *text)
{
    return !*text || *text == ';' || *text == '#';
}

static void forget_spare(Reading *reading)
{
    region_settings_init(&reading->spare_region);
    listener_settings_init(&reading->spare_listener);
}

/* A line that begins with a bracket. */
static void begin_section(Reading *reading, char *line)
{
    char *end = strchr(line, ']');
    char *name = strip(line + 1);

    reading->has_section = true;
    reading->table = NULL;
    reading->seen = 0;
    forget_spare(reading);
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

/* What is wrong is in conflict with nothing: a path is somewhere, and a number as great as it can
 * be. */
static void forget(const Reading *reading, const Key *key)
{
    void *field = (char *)reading->section + key->offset;

    if (reading->table == &listener_keys && key->type == KEY_STRING)
        ((ListenerSettings *)reading->section)->has_wrong_path = true;
    if (reading->table == &region_keys && key->type == KEY_NUMBER)
        *(unsigned *)field = (unsigned)key->max;
}

static void tell_wrong(Reading *reading, const char *name, const char *value, const ErrorText *why)
{
    char place[PATH_MAX + 16];

    (void)snprintf(place, sizeof(place), "%s:%u", reading->path, reading->line);
    if (why->error == -EINVAL)
        problems_add(reading->problems, "%s: %s '%s': %s", place, name, value, why->text);
    else
        problems_add_here(reading->problems, place, "%s '%s': %s", name, value, why->text);
}

static void take_key(Reading *reading, const Key *key, const char *value)
{
    uint32_t bit = 1U << (key - reading->table->keys);
    ErrorText why;

    if (reading->seen & bit && key->type != KEY_LIST) {
        problem(reading, "%s comes a second time in its section", key->name);
    } else if (!*value) {
        problem(reading, "%s: the value is missing", key->name);
        forget(reading, key);
    } else if (!key->store(key, reading->section, value, &why)) {
        tell_wrong(reading, key->name, value, &why);
        forget(reading, key);
    }
    reading->seen |= bit;
}

/* Nobody can say what is doubled where nobody knows what the section is. */
static void take_any_key(Reading *reading, const char *name, const char *value)
{
    const KeyTable *tables[] = {&region_keys, &listener_keys};
    void *sections[] = {&reading->spare_region, &reading->spare_listener};

    for (size_t i = 0; i < 2; i++) {
        const Key *key = key_find(tables[i], name);

        if (!key)
            continue;
        reading->seen = 0;
        reading->table = tables[i];
        reading->section = sections[i];
        take_key(reading, key, value);
        reading->table = NULL;
        return;
    }
    problem(reading, "there is no key '%s' in any section", name);
}

static int handle_key(void *user, const char *section, const char *name, const char *value)
{
    Reading *reading = user;

    const Key *key = reading->table ? key_find(reading->table, name) : NULL;

    (void)section;
    if (!reading->has_section)
        problem(reading, "%s stands before any section", name);
    if (key)
        take_key(reading, key, value);
    else if (reading->table)
        problem(reading, "there is no key '%s' in this section", name);
    else
        take_any_key(reading, name, value);
    return 1; /* what is wrong has been said */
}

void config_file_read(const char *path, RegionSettings *settings, Problems *problems)
{
    Reading reading = {.path = path, .problems = problems, .settings = settings};
    struct stat found;

    forget_spare(&reading);
    reading.file = fopen(path, "re");
    if (!reading.file) {
        problems_add(problems, "cannot read the configuration '%s': %s", path, strerror(errno));
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
