# future.tests: what package future asks of every back end.
source("tools/suites/common.R")
needed("future", "future.tests")
library(future)
outcome <- future.tests::check("sharedmem::sharedmem", timeout = 60, settings = FALSE, exit_value = FALSE, .args = character())
for (test in outcome[[1L]]) for (result in test) {
  error <- result$error
  if (inherits(result$skipped, "TestSkipped")) skipped(result$test$title, ": ", conditionMessage(result$skipped))
  else if (is.null(error)) passed()
  else failed(result$test$title, ": ", conditionMessage(error))
}
if (!identical(attr(outcome, "exit_code"), 0L) && counted$failed == 0) failed("exit code ", attr(outcome, "exit_code"))
finish()
