/* A made-up reward tuning run as a folder: the files that a report reads, with plausible numbers. */
#ifndef TL_TESTS_RUN_SUPPORT_REPORT_H
#define TL_TESTS_RUN_SUPPORT_REPORT_H

#include <stdbool.h>

#define SUPPORT_HOSTILE                                                                                      \
    "<script>alert(1)</script> & \"quoted\" 'too' \xe2\x80\xae"                                              \
    "desrever"

struct support_report {
    int epochs, planned; /* it came to epochs of planned */
    bool finished;       /* result.json, LoRA files, best */
    bool hostile;        /* texts with markup in them */
    double gain;         /* of the trained reward */
    const char *lr;
};

/* Makes the folder. */
void support_report_write(const char *folder, const struct support_report *what);

#endif
