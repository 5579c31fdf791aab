/* sm_base: the clock and the error texts. */
#include "../../src/sm_base.h"
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  uint64_t a = sm_clock_ns(), b = sm_clock_ns();
  check(a > 0 && b >= a, "the clock does not run backwards");

  int distinct = 1;
  for (int i = SM_ECHANGED; i <= SM_ENOROOM; i++)
    for (int j = SM_ECHANGED; j < i; j++) distinct &= strcmp(sm_error_text(i), sm_error_text(j)) != 0;
  check(distinct, "every code of the core has a text of its own");
  check(strcmp(sm_error_text(-ENOENT), strerror(ENOENT)) == 0, "a system error has the system's text");
  check(sm_error_text(-99999) != NULL, "an unknown code has a text");

  return report();
}
