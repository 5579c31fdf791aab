# Our own tests of the back end for future, with a current version of it: elsewhere they run with the system's, which may be old.
source("tools/suites/common.R")
needed("future", "future.apply", "furrr", "progressr", "testthat")
library(testthat)
count_testthat(test_file("tests/testthat/test-future.R", package = "sharedmem", load_package = "installed", reporter = "silent",
                         stop_on_failure = FALSE), waive = c("no old future" = "there is a current one"))
finish()
