library(testthat)
library(sharedmem)

test_check("sharedmem")
