/* Pages and charts as text: what is escaped, what is well formed, what is drawn. */
#include "support/check.h"

#include "io/html.h"
#include "io/svg_axis.h"
#include "io/svg_chart.h"

static void expect_text(const char *text, const char *html)
{
    struct tl_str out = {0};
    tl_html_text(&out, text);
    assert_string_equal(out.data ? out.data : "", html);
    tl_str_finish(&out);
}

static void test_escape(void **state)
{
    (void)state;
    expect_text("plain, \xc3\xa9\xe2\x82\xac", "plain, \xc3\xa9\xe2\x82\xac");
    expect_text("<b a=\"x\" b='y'>&amp;", "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
    expect_text("a\tb\nc\x01\x7f", "a\tb\nc\xef\xbf\xbd\xef\xbf\xbd");
    expect_text("x\xff\xc0y", "x\xef\xbf\xbd\xef\xbf\xbdy"); /* no UTF-8 */
    expect_text("a\xe2\x80\xae"
                "b\xc2\x85",
                "a\xef\xbf\xbd"
                "b\xef\xbf\xbd"); /* turns the line round; C1 */
    expect_text(NULL, "");
    struct tl_str out = {0};
    tl_html_text_cut(&out, "\xc3\xa9\xc3\xa9\xc3\xa9", 2);
    assert_string_equal(out.data, "\xc3\xa9\xc3\xa9\xe2\x80\xa6");
    tl_str_clear(&out);
    tl_html_text_cut(&out, "\xc3\xa9\xc3\xa9", 2);
    assert_string_equal(out.data, "\xc3\xa9\xc3\xa9");
    tl_str_finish(&out);
}

static void test_png(void **state)
{
    (void)state;
    uint8_t png[33] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13,
                       'I',  'H', 'D', 'R', 0,    0,    1,    0,    0, 0, 0, 7};
    int width = 0, height = 0;
    assert_true(tl_html_png_size(png, sizeof png, &width, &height));
    assert_int_equal(width, 256);
    assert_int_equal(height, 7);
    assert_false(tl_html_png_size(png, 32, &width, &height));
    png[23] = 0;
    assert_false(tl_html_png_size(png, sizeof png, &width, &height)); /* no rows */
    png[23] = 7;
    png[16] = 1;
    assert_false(tl_html_png_size(png, sizeof png, &width, &height)); /* too wide */
    struct tl_str out = {0};
    tl_html_png(&out, png, 3, 4, 5, "\"><script>");
    assert_string_equal(out.data, "<img width=\"4\" height=\"5\" alt=\"&quot;&gt;&lt;script&gt;\" "
                                  "src=\"data:image/png;base64,iVBO\">");
    tl_str_finish(&out);
}

/* The policy names the script that the page has: base64 of its SHA-256. */
static void test_policy(void **state)
{
    (void)state;
    struct tl_str out = {0};
    tl_html_begin(&out, "a <title>", "p{}", "abc");
    tl_html_end(&out, "abc");
    assert_non_null(strstr(out.data, "script-src 'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='"));
    assert_non_null(strstr(out.data, "default-src 'none'"));
    assert_non_null(strstr(out.data, "<title>a &lt;title&gt;</title>"));
    assert_non_null(strstr(out.data, "<script>abc</script>\n</body>"));
    tl_str_finish(&out);
}

/* ---- axes ---- */

static void expect_ticks(double lo, double hi, int n, const char *labels)
{
    struct tl_svg_axis a = tl_svg_axis_empty();
    char text[512] = "", label[TL_SVG_LABEL];
    tl_svg_axis_widen(&a, lo);
    tl_svg_axis_widen(&a, hi);
    tl_svg_axis_close(&a, n, true, false);
    assert_true(a.lo <= lo && a.hi >= hi);
    for (double v = tl_svg_axis_first(&a); tl_svg_axis_holds(&a, v); v += a.step) {
        tl_svg_axis_label(&a, v, label);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", label);
    }
    assert_string_equal(text, labels);
}

static void test_ticks(void **state)
{
    (void)state;
    expect_ticks(0, 1, 5, "0.0 0.2 0.4 0.6 0.8 1.0 ");
    expect_ticks(0.712, 0.868, 5, "0.70 0.75 0.80 0.85 0.90 ");
    expect_ticks(-3, 7, 5, "-4 -2 0 2 4 6 8 ");
    expect_ticks(0, 43000, 5, "0 10000 20000 30000 40000 50000 ");
    expect_ticks(3, 3, 4, "2.6 2.8 3.0 3.2 3.4 ");
    expect_ticks(0, 3.1e8, 4, "0 1e+08 2e+08 3e+08 4e+08 ");
    expect_ticks(1e-8, 4e-8, 4, "1e-08 2e-08 3e-08 4e-08 ");
    char label[TL_SVG_LABEL];
    tl_svg_number(0.123456, true, label);
    assert_string_equal(label, "12.3%");
    tl_svg_number(-0.0, false, label);
    assert_string_equal(label, "0");
}

static void test_axis_limits(void **state)
{
    (void)state;
    struct tl_svg_axis a = tl_svg_axis_empty();
    tl_svg_axis_close(&a, 5, true, false); /* nothing in it */
    assert_true(isfinite(a.lo) && isfinite(a.hi) && a.lo < a.hi && a.step > 0);
    a = tl_svg_axis_empty();
    tl_svg_axis_widen(&a, NAN);
    tl_svg_axis_widen(&a, INFINITY);
    tl_svg_axis_widen(&a, 1);
    tl_svg_axis_widen(&a, 2);
    tl_svg_axis_close(&a, 5, false, true);
    assert_true(a.lo == 1 && a.hi == 2 && a.step == 1);
    static const double hard[] = {1e300, -1e300, 1e-280, 5e-324, 1.0000000001, 1, 0};
    for (size_t i = 0; i < 7; i++)
        for (size_t k = 0; k < 7; k++) {
            a = tl_svg_axis_empty();
            tl_svg_axis_widen(&a, hard[i]);
            tl_svg_axis_widen(&a, hard[k]);
            tl_svg_axis_close(&a, 5, true, false);
            int n = 0;
            char label[TL_SVG_LABEL];
            for (double v = tl_svg_axis_first(&a); tl_svg_axis_holds(&a, v) && n < 1000; v += a.step, n++)
                tl_svg_axis_label(&a, v, label);
            assert_in_range(n, 1, 20);
        }
}

/* ---- charts ---- */

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

/* Tags are closed in order, attributes have no stray quotes; none holds a number that is none. */
static void check_markup(const char *svg)
{
    const char *open[64];
    size_t depth = 0;
    for (const char *p = svg; (p = strchr(p, '<')); p++) {
        const char *end = strchr(p, '>');
        assert_non_null(end);
        size_t quotes = 0, name;
        for (const char *q = p; q < end; q++) quotes += *q == '"';
        assert_int_equal(quotes % 2, 0);
        if (p[1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_memory_equal(p + 2, open[depth], strcspn(open[depth], " />"));
        } else if (end[-1] != '/') {
            name = strcspn(p + 1, " />");
            if (!(name == 1 && p[1] == 'i'))
                open[depth++] = p + 1;
            else if (strncmp(end, "></i>", 5) == 0)
                open[depth++] = p + 1;
        }
        assert_true(depth < 60);
    }
    assert_int_equal(depth, 0);
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
}

static void test_chart(void **state)
{
    (void)state;
    static const double x[] = {0, 6, 12, 18}, y[] = {0.70, 0.75, NAN, 0.86}, e[] = {0.01, 0.02, 0, -1};
    const struct tl_svg_series series[] = {
        {.name = "others <x>", .x = x, .y = y, .error = e, .n = 4, .colour = 0},
        {.name = "none", .x = x, .y = y, .n = 0, .colour = 1},
        {.name = "one", .x = x, .y = y, .n = 1, .colour = 9}};
    const struct tl_svg_mark marks[] = {{18, "best"}, {6, NULL}, {99, "outside"}};
    struct tl_str out = {0}, again = {0};
    const struct tl_svg_chart chart = {.title = "Reward & more",
                                       .x_label = "epoch",
                                       .series = series,
                                       .n_series = 3,
                                       .marks = marks,
                                       .n_marks = 3};
    tl_svg_chart(&out, &chart);
    tl_svg_chart(&again, &chart);
    assert_string_equal(out.data, again.data);
    check_markup(out.data);
    assert_non_null(strstr(out.data, "aria-label=\"Reward &amp; more\""));
    assert_non_null(strstr(out.data, "data-name=\"others &lt;x&gt;\""));
    assert_non_null(strstr(out.data, "data-x=\"0 6 18\" data-y=\"0.7 0.75 0.86\" data-e=\"0.01 0.02 0\""));
    assert_int_equal(count(out.data, "<circle"), 4); /* NaN left out; one of the third series */
    assert_non_null(strstr(out.data, "others &lt;x&gt;, 6: 0.75 \xc2\xb1 0.02</title>"));
    assert_int_equal(count(out.data, "class=\"mark\""), 2);
    assert_non_null(strstr(out.data, ">best</text>"));
    assert_null(strstr(out.data, "outside"));
    assert_non_null(strstr(out.data, "c1 dash"));
    tl_str_clear(&out);
    tl_svg_legend(&out, &chart);
    check_markup(out.data);
    assert_int_equal(count(out.data, "<span"), 2);
    tl_str_finish(&out);
    tl_str_finish(&again);
}

/* A long series is thinned, and its single spike stays. */
static void test_thin(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1 + 0.1 * sin(i * 0.37);
    }
    y[54321] = 7.125;
    y[N - 1] = 1.0525; /* neither the lowest nor the highest at the end */
    const struct tl_svg_series series = {.name = "loss", .x = x, .y = y, .n = N, .smooth = true};
    struct tl_str out = {0};
    tl_svg_chart(
        &out, &(struct tl_svg_chart){.title = "loss", .x_label = "step", .series = &series, .n_series = 1});
    check_markup(out.data);
    assert_true(out.len < 40000);
    assert_non_null(strstr(out.data, " 54321 "));
    assert_non_null(strstr(out.data, " 7.125 "));
    assert_non_null(strstr(out.data, " 99999\" data-y="));
    assert_non_null(strstr(out.data, " 1.0525\">"));
    const char *label = strstr(out.data, "class=\"end ");
    assert_true(label && strncmp(strchr(label, '>') + 1, "1.05", 4) == 0);
    assert_int_equal(count(out.data, "class=\"raw\""), 1);
    assert_int_equal(count(out.data, "class=\"l\""), 1);
    assert_int_equal(count(out.data, "<circle"), 0);
    tl_str_finish(&out);
    free(x);
    free(y);
}

/* Lines that end in one place: each label finds its own, whatever the value's rounding. */
static void test_labels(void **state)
{
    (void)state;
    static const double x[] = {0, 1};
    struct tl_svg_series series[16];
    for (int i = 0; i < 200; i++) {
        const double y[] = {0.1, 0.1 + i * 0.0137};
        struct tl_str out = {0};
        for (int k = 0; k < 16; k++)
            series[k] = (struct tl_svg_series){.name = "same", .x = x, .y = y, .n = 2, .colour = k};
        tl_svg_chart(&out,
                     &(struct tl_svg_chart){.title = "t", .x_label = "x", .series = series, .n_series = 16});
        assert_int_equal(count(out.data, "class=\"end "), 16);
        tl_str_finish(&out);
    }
}

static void test_empty_charts(void **state)
{
    (void)state;
    struct tl_str out = {0};
    tl_svg_chart(&out, &(struct tl_svg_chart){.title = "t", .x_label = "step"});
    check_markup(out.data);
    tl_str_clear(&out);
    tl_svg_histogram(&out, "t", NULL, 0);
    check_markup(out.data);
    static const double same[] = {2, 2, 2, NAN};
    const struct tl_svg_sample sample = {"all", same, 4, 0};
    tl_str_clear(&out);
    tl_svg_histogram(&out, "t", &sample, 1);
    check_markup(out.data);
    assert_int_equal(count(out.data, "all: 100.0%"), 1);
    tl_str_finish(&out);
}

static void test_histogram(void **state)
{
    (void)state;
    static const double before[] = {0.05, 0.15, 0.15, 0.95}, after[] = {0.95, 0.95, 0.95, 1.0};
    const struct tl_svg_sample samples[] = {{"before", before, 4, 6}, {"after", after, 4, 0}};
    struct tl_str out = {0};
    tl_svg_histogram(&out, "reward", samples, 2);
    check_markup(out.data);
    assert_int_equal(count(out.data, "class=\"mean\""), 2);
    assert_int_equal(count(out.data, "before: 75.0%"), 1);
    assert_int_equal(count(out.data, "after: 100.0%"), 1); /* the highest value falls into the last bin */
    tl_str_finish(&out);
}

static void test_scatter(void **state)
{
    (void)state;
    static const struct tl_svg_point points[] = {
        {0.25, 0.75, "a <b>"}, {0.5, 0.5, NULL}, {NAN, 1, "lost"}, {1, INFINITY, NULL}};
    struct tl_str out = {0};
    tl_svg_scatter(&out, "pairs", "before", points, 4, 1);
    check_markup(out.data);
    assert_int_equal(count(out.data, "<circle"), 2);
    assert_int_equal(count(out.data, "<title>a &lt;b&gt;: 0.25 across, 0.75 up</title>"), 1);
    assert_int_equal(count(out.data, "<title>0.5 across, 0.5 up</title>"), 1);
    tl_str_clear(&out);
    tl_svg_scatter(&out, "none", "before", NULL, 0, 0);
    check_markup(out.data);
    tl_str_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_escape),       cmocka_unit_test(test_png),
                                       cmocka_unit_test(test_policy),       cmocka_unit_test(test_ticks),
                                       cmocka_unit_test(test_axis_limits),  cmocka_unit_test(test_chart),
                                       cmocka_unit_test(test_thin),         cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_empty_charts), cmocka_unit_test(test_histogram),
                                       cmocka_unit_test(test_scatter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
