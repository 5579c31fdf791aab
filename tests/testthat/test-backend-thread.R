# The session's own path and the forked one are one: what a map gives is the same, whoever runs it.
everywhere <- function(run) {
  pools <- list(np1 = MapReduce(np = 1), np0 = MapReduce(np = 0), thread = MapReduceByThread(2))
  out <- lapply(pools, run)
  set_debug(TRUE)
  on.exit(set_debug(FALSE))
  c(out, list(debug = run(MapReduce(np = 1))))
}
outcome <- function(expr) tryCatch(expr, error = function(e) {
  of_worker <- inherits(e, "WorkerException")
  list(class(e), if (of_worker) list(class(e$reason), conditionMessage(e$reason), e$item) else conditionMessage(e))
})
expect_alike <- function(run, debug_too = TRUE) {
  out <- everywhere(run)
  if (!debug_too) out$debug <- NULL
  for (name in names(out)) expect_identical(out[[!!name]], out$np1)
  invisible(out$np1)
}

test_that("StopProcessGroup ends a map in the same way from func, and is raised as it is from reduce", {
  r <- expect_alike(function(pool) outcome(pool$map(function(i) if (i == 3) stop(StopProcessGroup()) else i,
                                                    c(a = 1, b = 2, c = 3, d = 4))))
  expect_identical(r, structure(list(a = 1, b = 2, c = NULL, d = NULL), stopped = TRUE))
  r <- expect_alike(function(pool) outcome(pool$map(identity, 1:4, reduce = function(v) stop(StopProcessGroup()))))
  expect_identical(r[[1L]][1L], "StopProcessGroup")
})

test_that("errors, of whatever class and however deep, arrive with the same reason and item, and are collected in the same places", {
  mine <- function() stop(structure(class = c("mine", "error", "condition"), list(message = "m", call = NULL)))
  f <- function(i) if (i == 2) mine() else if (i == 4) log("a") else i
  r <- expect_alike(function(pool) outcome(pool$map(f, 1:5)), debug_too = FALSE)
  expect_identical(r, list(c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"),
                           list(c("mine", "error", "condition"), "m", 2)))
  collected <- function(backend, np) {
    r <- MapReduce(backend, np = np, on_error = "collect")$map(f, 1:5, reduce = function(v) v * 10)
    lapply(r, function(v) if (inherits(v, "WorkerException")) list(class(v$reason), v$item) else v)
  }
  ref <- collected(ProcessBackend, 1)
  expect_identical(lengths(ref), c(1L, 2L, 1L, 2L, 1L))
  expect_identical(collected(ProcessBackend, 0), ref)
  expect_identical(collected(ThreadBackend, 2), ref)
})

test_that("on.exit code of func runs, and calls are named, wherever it ran", {
  for (np in 0:1) {
    left <- empty(1, "i4")
    inner <- function(i) { on.exit(left[1] <- left[1] + 1L); stop("deep") }
    e <- tryCatch(MapReduce(np = np)$map(function(i) inner(i), 1:3), WorkerException = identity)
    expect_identical(left[1], 1L)
    expect_identical(e$traceback, c("func(item, ...)", "inner(i)"))
  }
})

test_that("a time limit ends an item in the session too, counts each item anew, and is no longer there afterwards", {
  pool <- MapReduce(np = 0, timeout = 0.3)
  slow <- function(i) { if (i == 2) repeat Sys.sleep(0.01); i }
  e <- tryCatch(pool$map(slow, 1:3), WorkerException = identity)
  expect_s3_class(e$reason, "sharedmem_timeout_error")
  expect_identical(e$item, 2)
  for (late in list(function(i) { Sys.sleep(0.5); i }, function(i) tryCatch(Sys.sleep(0.5), error = function(e) "caught"))) {
    e <- tryCatch(pool$map(late, 1:2), WorkerException = identity)
    expect_s3_class(e$reason, "sharedmem_timeout_error")
    expect_identical(e$item, 1)
  }
  r <- MapReduce(np = 0, timeout = 0.3, on_error = "collect")$map(slow, 1:3)
  expect_identical(r[-2L], list(1L, 3L))
  expect_s3_class(r[[2L]]$reason, "sharedmem_timeout_error")
  expect_identical(unlist(pool$map(function(i) { Sys.sleep(0.1); i }, 1:5)), 1:5)
  end <- Sys.time() + 0.5
  while (Sys.time() < end) Sys.sleep(0.02)
  # an error that only says the same is the item's own
  own <- tryCatch(MapReduce(np = 0, timeout = 60)$map(function(i) stop("reached elapsed time limit"), 1), WorkerException = identity)
  expect_s3_class(own$reason, "simpleError")
})

test_that("a handler of the session's that leaves the map leaves its generator, its pool and its trace whole", {
  pool <- MapReduce(np = 0, trace = TRUE)
  set.seed(3)
  jump <- structure(class = c("jump", "condition"), list(message = "", call = NULL))
  got <- withCallingHandlers(tryCatch(pool$map(function(i) { runif(1); if (i == 2) signalCondition(jump); i }, 1:3),
                                      jump = function(c) "left"))
  after <- runif(1)
  expect_identical(got, "left")
  expect_identical(after, { set.seed(3); runif(1); runif(1) })
  expect_identical(sum(pool$trace$events$kind == "item"), 2L)
  expect_identical(unlist(pool$map(identity, 1:3)), 1:3)
  expect_error(pool$critical(1), class = "sharedmem_lock_error")
})

test_that("reduce that would accumulate and star of a wrong width are told what to do, whoever runs the items", {
  r <- expect_alike(function(pool) outcome(pool$map(function(i) i, 1:4, reduce = function(a, b) a + b)))
  expect_match(r[[2L]], "Reduce()", fixed = TRUE)
  for (np in 0:1) {
    expect_identical(MapReduce(np = np)$map(function(i) i, 1:2, reduce = function(a, b) if (missing(b)) a else b), list(1L, 2L))
    pool <- MapReduce(np = np)
    e <- tryCatch(pool$map(function(a, b) a + b, list(1:3), star = TRUE), WorkerException = identity)
    expect_match(conditionMessage(e$reason), "3 values.*takes 2")
    e <- tryCatch(pool$map(function(a, b) a + b, list(1), star = TRUE), WorkerException = identity)
    expect_match(conditionMessage(e$reason), "star = TRUE spreads")
    expect_s3_class(e$reason, "sharedmem_argument_error")
  }
})

test_that("a traced map without items has a trace without items, which prints and is drawn", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np, trace = TRUE)
    pool$map(sqrt, 1:30)
    pool$map(sqrt, integer(0))
    expect_identical(pool$trace$nitems, 0)
    expect_output(print(pool$trace), "0 items")
    grDevices::pdf(NULL)
    expect_no_error <- function(expr) expect_error(expr, NA)
    expect_no_error(plot(pool$trace))
    grDevices::dev.off()
  }
})
