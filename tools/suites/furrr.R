# furrr's tests; its helper goes through the plans that future supports, ours takes the place of all of them.
source("tools/suites/common.R")
needed("future", "furrr", "testthat")
library(testthat)
dir <- file.path(suites_dir, "furrr-tests")
unlink(dir, recursive = TRUE)
dir.create(dir)
file.copy(list.files(file.path(source_of("furrr"), "tests", "testthat"), full.names = TRUE), dir, recursive = TRUE)
if (!exists("set_state_inspector", asNamespace("testthat"))) unlink(file.path(dir, "helper-state.R")) # looks for what tests leave behind
for (file in list.files(dir, "^(helper|test)-.*\\.R$", full.names = TRUE)) {
  code <- readLines(file)
  code <- gsub("plan(multisession", "plan(sharedmem::sharedmem", code, fixed = TRUE)
  if (grepl("^helper-furrr", basename(file)))
    code <- c(code, 'supported_strategies <- function(...) "sharedmem::sharedmem"', 'supported_max_cores <- function(...) 2L')
  writeLines(code, file)
}
count_testthat(test_dir(dir, package = "furrr", reporter = "silent", stop_on_failure = FALSE, load_package = "installed"),
               waive = c("vec_is_vector()" = "the installed dplyr is too old for the installed vctrs"))
finish()
