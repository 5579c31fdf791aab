# Conditions of members on their way to the caller of their owner.

test_that("a warning that is an error in its rank is one, and one that becomes an error on the way takes no failure's place", {
  old <- options(warn = 2)
  on.exit(options(old))
  p <- Parallel(Shared(after = 0), num_threads = 2)
  e <- tryCatch(with(p, if (p$rank == 1) { as.integer("7a"); p$var$after <- 1 }), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_identical(p$var$after, 0)
  e <- tryCatch(with(p, if (p$rank == 1) { options(warn = 0); warning("small"); stop("the real error") }), error = identity)
  expect_match(conditionMessage(e), "the real error")
})

test_that("a map's failure is told, whatever becomes of the conditions that wait behind it", {
  old <- options(warn = 2)
  on.exit(options(old))
  begun <- full(1, 0)
  e <- tryCatch(MapReduce(np = 2)$map(function(i) {
    options(warn = 0)
    if (i == 2) { warning("small"); begun[1] <- 1; Sys.sleep(0.2); stop("the real error") }
    wait_until(begun[1] == 1, 20)
    Sys.sleep(60) # so that the warning waits for this item
  }, 1:2), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_match(conditionMessage(e), "the real error")
})
