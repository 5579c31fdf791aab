test_that("jobs are collected by name or process id", {
  before <- snapshot_resources()
  a <- sharedmem::mcparallel(1:10, name = "a")
  b <- sharedmem::mcparallel(sum(1:3))
  r <- sharedmem::mccollect(list(a, b))
  expect_identical(r, structure(list(1:10, 6L), names = c("a", as.character(b$pid))))
  expect_null(sharedmem::mccollect())
  k <- sharedmem::mcparallel("k", name = "the name")
  expect_output(print(k), sprintf("<job \"the name\": process %d, ", k$pid), fixed = TRUE)
  expect_identical(sharedmem::mccollect(k$pid), structure(list("k"), names = as.character(k$pid)))
  rm(a, b, k)
  gc()
  expect_map_clean(before)
})

test_that("without waiting what has come is given, and the rest later", {
  go <- empty(1, "i4")
  fast <- sharedmem::mcparallel("fast", name = "fast")
  slow <- sharedmem::mcparallel({ while (go[1] == 0L) Sys.sleep(0.01); "slow" }, name = "slow")
  expect_identical(sharedmem::mccollect(list(fast, slow), wait = FALSE, timeout = 30), list(fast = "fast"))
  expect_null(sharedmem::mccollect(list(fast, slow), wait = FALSE)) # a result is given once
  expect_null(sharedmem::mccollect(slow, wait = FALSE))
  go[1] <- 1L
  seen <- list()
  look <- function(r) seen[[length(seen) + 1L]] <<- r
  expect_identical(sharedmem::mccollect(list(slow), wait = FALSE, timeout = -1, intermediate = look), list(slow = "slow"))
  expect_length(seen, 1L)
  expect_warning(r <- sharedmem::mccollect(list(fast, slow)), class = "sharedmem_lost_warning")
  expect_identical(r, list(fast = NULL, slow = NULL))
  expect_warning(r <- sharedmem::mccollect(999999999L), class = "sharedmem_lost_warning")
  expect_identical(r, list(`999999999` = NULL))
  job <- sharedmem::mcparallel(1, name = "a")
  expect_output(sharedmem::mccollect(list(job), intermediate = TRUE), "List of 1\n $ a: num 1", fixed = TRUE)
})

test_that("what an expression gives is evaluated where the call stands, and names are made strings, as parallel does it", {
  f <- function() {
    x <- 3
    list(sharedmem::mcparallel(quote(x + 1), name = 7), sharedmem::mcparallel(x, name = c("u", "v")),
         sharedmem::mcparallel(expression(x * 2), name = NULL))
  }
  jobs <- f()
  expect_identical(sharedmem::mccollect(jobs), structure(list(4, 3, 6), names = c("7", "u", jobs[[3L]]$pid)))
  r <- sharedmem::mccollect(list(sharedmem::mcparallel(stop("bad"), name = "x")))
  expect_match(r$x, "^Error in eval\\(expr, env\\) : bad")
})

test_that("a call inside a job may be told to stay there", {
  pids <- sharedmem::mccollect(sharedmem::mcparallel({
    c(Sys.getpid(), unlist(sharedmem::mclapply(1:2, function(i) Sys.getpid(), mc.cores = 2, mc.allow.recursive = FALSE)))
  }))
  expect_length(unique(pids[[1L]]), 1L)
})

test_that("a job that fails is a try-error, one that died names the signal, with a warning", {
  r <- sharedmem::mccollect(list(sharedmem::mcparallel(stop("bad"), name = "x")))
  expect_s3_class(r$x, "try-error")
  expect_identical(conditionMessage(attr(r$x, "condition")), "bad")
  k <- sharedmem::mcparallel(tools::pskill(Sys.getpid(), 9), name = "k")
  expect_warning(r <- sharedmem::mccollect(list(k)), class = "sharedmem_lost_warning")
  expect_match(conditionMessage(attr(r$k, "condition")), "SIGKILL")
})

test_that("mc.set.seed = FALSE begins with the session's generator; launching does not move it", {
  set.seed(3)
  was <- .Random.seed
  r <- sharedmem::mccollect(list(sharedmem::mcparallel(runif(2), name = "a", mc.set.seed = FALSE),
                                 sharedmem::mcparallel(runif(2), name = "b")))
  expect_identical(.Random.seed, was)
  expect_identical(r$a, runif(2))
  expect_false(identical(r$a, r$b))
})

test_that("bad arguments are argument errors", {
  expect_error(sharedmem::mccollect("a"), class = "sharedmem_argument_error")
  expect_error(sharedmem::mccollect(list(1)), class = "sharedmem_argument_error")
})
