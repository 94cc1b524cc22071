/* SPDX-License-Identifier: MIT */
/* Answers for people: tables and lines. For programs: JSON. */
#include "tools/ctl/ctl.h"

#include "util/cleanup.h"
#include "util/size.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CELL_SIZE 4096 /* bytes; what is longer is cut */
#define SPACES    "  " /* between two columns */
#define MAX_DEPTH 8    /* of what is shown; ours answers with less */

typedef struct Cell {
    char text[CELL_SIZE];
} Cell;

static void append(Cell *cell, const char *text)
{
    size_t used = strlen(cell->text);

    (void)snprintf(cell->text + used, CELL_SIZE - used, "%s", text);
    (void)ctl_clean(cell->text + used);
}

static void print_time(const json_t *value, Cell *cell)
{
    time_t when = (time_t)json_integer_value(json_object_get(value, "seconds"));
    struct tm local;

    if (localtime_r(&when, &local))
        (void)strftime(cell->text, CELL_SIZE, "%Y-%m-%d %H:%M:%S", &local);
}

static void print_nested(const json_t *value, ShowAs as, unsigned depth, Cell *cell);

/* The elements, with commas between them. */
static void print_array(const json_t *array, unsigned depth, Cell *cell)
{
    size_t i;
    json_t *element;

    json_array_foreach(array, i, element)
    {
        Cell part;

        print_nested(element, SHOW_PLAIN, depth + 1, &part);
        append(cell, i ? "," : "");
        append(cell, part.text);
    }
}

static void print_members(const json_t *object, unsigned depth, Cell *cell)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        Cell part;

        print_nested(value, SHOW_PLAIN, depth + 1, &part);
        append(cell, *cell->text ? " " : "");
        append(cell, name);
        append(cell, "=");
        append(cell, part.text);
    }
}

static void print_nested(const json_t *value, ShowAs as, unsigned depth, Cell *cell)
{
    cell->text[0] = '\0';
    if (!value || json_is_null(value))
        append(cell, "-");
    else if (as == SHOW_TIME || (json_object_get(value, "microseconds")))
        print_time(value, cell);
    else if (as == SHOW_SIZE)
        size_format((uint64_t)json_integer_value(value), cell->text);
    else if (json_is_string(value))
        append(cell, *json_string_value(value) ? json_string_value(value) : "-");
    else if (json_is_boolean(value))
        append(cell, json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value))
        (void)snprintf(cell->text, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (depth == MAX_DEPTH)
        append(cell, "...");
    else if (json_is_array(value))
        print_array(value, depth, cell);
    else
        print_members(value, depth, cell);
}

static void print_value(const json_t *value, ShowAs as, Cell *cell)
{
    print_nested(value, as, 0, cell);
}

static size_t measure(const json_t *rows, const Column *column)
{
    size_t i, width = strlen(column->title);
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        Cell cell;

        print_value(json_object_get(row, column->member), column->as, &cell);
        if (strlen(cell.text) > width)
            width = strlen(cell.text);
    }
    return width;
}

/* The last column is not filled up. */
static void put_cell(const char *text, size_t width, bool is_last)
{
    (void)printf("%-*s%s", is_last ? 0 : (int)width, text, is_last ? "\n" : SPACES);
}

static void show_table(const json_t *rows, const Column *columns)
{
    size_t widths[16], i, n = 0;
    json_t *row;

    for (; columns[n].member; n++)
        widths[n] = measure(rows, &columns[n]);
    for (size_t c = 0; c < n; c++)
        put_cell(columns[c].title, widths[c], c == n - 1);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++) {
            Cell cell;

            print_value(json_object_get(row, columns[c].member), columns[c].as, &cell);
            put_cell(cell.text, widths[c], c == n - 1);
        }
    }
}

/* A line for each. */
static void show_elements(const json_t *array, const char *indent, const char *name)
{
    size_t i;
    json_t *element;

    json_array_foreach(array, i, element)
    {
        Cell cell;

        print_value(element, SHOW_PLAIN, &cell);
        (void)printf("%s%s: %s\n", indent, name, cell.text);
    }
}

void ctl_show_object(const json_t *object, const char *indent)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        Cell title = {""}, cell;

        append(&title, name);
        if (json_is_array(value)) {
            show_elements(value, indent, title.text);
            continue;
        }
        print_value(value, SHOW_PLAIN, &cell);
        (void)printf("%s%s: %s\n", indent, title.text, cell.text);
    }
}

/* Each object of a list that has no table. */
static void show_list(const json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        (void)printf("%s", i ? "\n" : "");
        ctl_show_object(row, "");
    }
}

void ctl_show(const json_t *answer, const CtlOptions *options)
{
    if (options->json) {
        _cleanup_free_ char *text = json_dumps(answer, JSON_INDENT(2) | JSON_ENSURE_ASCII);

        (void)puts(text ? text : "");
    } else if (json_is_array(answer) && options->command->columns) {
        show_table(answer, options->command->columns);
    } else if (json_is_array(answer)) {
        show_list(answer);
    } else {
        ctl_show_object(answer, "");
    }
}
