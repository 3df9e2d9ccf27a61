/* Cases that come in families: functions by kind, products in all transposes, convolutions with their
 * gradients, norms, attention. */
#ifndef TL_TESTS_SUPPORT_OP_FAMILIES_H
#define TL_TESTS_SUPPORT_OP_FAMILIES_H

#include "op/support_ops.h"

/* Appends to a table of n cases (room for OP_CASES_MAX); returns the new length. */
size_t op_families_add(struct op_case *table, size_t n);

#endif
