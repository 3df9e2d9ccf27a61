#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tiller/registry.h>

#include "cli.h"

static bool heading(const char *text, struct tl_err *err)
{
    bool bold = cli_terminal_colours(STDOUT_FILENO);
    return cli_print(bold ? "\n\033[1m" : "\n", err) && cli_print(text, err) &&
           cli_print(bold ? ":\033[0m\n" : ":\n", err);
}

static bool print_indented(const char *lines, struct tl_err *err)
{
    while (*lines) {
        char line[512];
        size_t n = strcspn(lines, "\n");
        snprintf(line, sizeof line, "  %.*s\n", (int)n, lines);
        if (!cli_print(line, err)) return false;
        lines += n + (lines[n] == '\n');
    }
    return true;
}

static bool print_table(const struct tl_option *table, struct tl_err *err)
{
    char *text = tl_option_help(table);
    if (!text) return tl_err_set(err, TL_FAIL, "out of memory");
    return cli_print_owned(text, err);
}

/* Rows of the library's tables: names with their help. */
static bool print_tables(const char *const *tables, struct tl_err *err)
{
    for (; tables && *tables; tables++) {
        char title[64];
        snprintf(title, sizeof title, "%c%s", *tables[0] - 'a' + 'A', *tables + 1);
        if (!heading(title, err) || !cli_print_owned(tl_registry_help(*tables, err), err)) return false;
    }
    return true;
}

bool cli_help_verb(const struct cli_verb *v, const struct cli_choice *choice, struct tl_err *err)
{
    char usage[512], title[256];
    bool any = v->options[0].name != NULL, chosen = choice && choice->table;
    snprintf(title, sizeof title, "tiller %s: %s\n", v->name, v->help);
    snprintf(usage, sizeof usage, "tiller %s%s%s%s%s [OPTION ...]\n", v->name, *v->args ? " " : "", v->args,
             *v->required ? " " : "", v->required);
    return cli_print(title, err) && heading("Examples", err) && print_indented(v->examples, err) &&
           heading("Usage", err) && print_indented(usage, err) &&
           (!v->notes || (cli_print("\n", err) && print_indented(v->notes, err))) &&
           print_tables(v->tables, err) &&
           (!any || (heading("Options", err) && print_table(v->options, err))) &&
           (!chosen || (heading(choice->title, err) && print_table(choice->table, err))) &&
           heading("Options of every command", err) && print_table(cli_common_options, err);
}

bool cli_help_program(struct tl_err *err)
{
    bool ok =
        cli_print("tiller: fine-tunes image generators on rewards, on any GPU with Vulkan or on the CPU\n",
                  err) &&
        heading("Examples", err);
    for (size_t i = 0; ok && cli_verbs[i]; i++) { /* the first example of each */
        char line[512];
        snprintf(line, sizeof line, "  %.*s\n", (int)strcspn(cli_verbs[i]->examples, "\n"),
                 cli_verbs[i]->examples);
        ok = cli_print(line, err);
    }
    ok = ok && heading("Commands", err);
    for (size_t i = 0; ok && cli_verbs[i]; i++) {
        char line[512];
        snprintf(line, sizeof line, "  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->help);
        ok = cli_print(line, err);
    }
    return ok && heading("More", err) &&
           print_indented("tiller help COMMAND, tiller COMMAND -h    examples and options of one command\n"
                          "tiller --version                          the version\n",
                          err) &&
           heading("Exit codes", err) &&
           print_indented("0 done, 1 other failure, 2 usage or config, 3 done but some inputs were skipped, "
                          "4 bad input,\n"
                          "5 cannot write, 6 device, 7 external reward, 8 not a finite number, 9 folder in "
                          "use, 130 interrupted\n",
                          err);
}
