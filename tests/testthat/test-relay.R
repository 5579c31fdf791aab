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

test_that("steps of progress that a member signals, and other immediate conditions, come to the session's handlers at once", {
  immediate <- function(kind, text) structure(class = c(kind, "immediateCondition", "condition"), list(message = text, call = NULL))
  signal <- function(i) {
    message(immediate("message", paste("m", i)))
    warning(immediate("warning", paste("w", i)))
    withRestarts({ signalCondition(immediate("progression", paste("p", i))); "passed" }, muffleProgression = function() "muffled")
  }
  told <- character()
  tell <- function(restart) function(cond) {
    told <<- c(told, conditionMessage(cond))
    invokeRestart(restart)
  }
  listen <- function(expr) withCallingHandlers(expr, message = tell("muffleMessage"), warning = tell("muffleWarning"),
                                               progression = tell("muffleProgression"))
  expect_identical(listen(MapReduce(np = 2)$map(signal, 1:3)), rep(list("muffled"), 3))
  expect_setequal(told, paste(rep(c("m", "w", "p"), 3), rep(1:3, each = 3)))
  told <- character()
  p <- Parallel(Reduction(c, said = NULL), num_threads = 2)
  listen(with(p, p$var$said <- signal(p$rank)))
  expect_identical(p$var$said, c("muffled", "muffled"))
  expect_setequal(told, paste(rep(c("m", "w", "p"), 2), rep(0:1, each = 3)))
})

test_that("warnings and messages past the limit are counted, also where no worker has held one back", {
  begun <- full(1, 0)
  told <- character()
  out <- withCallingHandlers(MapReduce(np = 2)$map(function(i) {
    atomic_add(begun, 1, 1)
    wait_until(begun[1] >= 2, 20) # each worker has one item
    for (k in 1:40) warning("w")
    for (k in 1:510) message("m")
    i
  }, 1:2), warning = function(w) { told <<- c(told, conditionMessage(w)); invokeRestart("muffleWarning") },
  message = function(m) { told <<- c(told, conditionMessage(m)); invokeRestart("muffleMessage") })
  expect_identical(out, list(1L, 2L))
  expect_identical(c(table(told)), c("and 20 more messages from workers\n" = 1L, "and 30 more warnings from workers" = 1L,
                                     "m\n" = 1000L, w = 50L))
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

test_that("a warning that R gives while it sends a result comes after the result, whole", {
  f <- function(i) if (i == 3) as.environment("package:stats") else i
  told <- character()
  with_told <- function(expr) withCallingHandlers(expr, warning = function(w) {
    told <<- c(told, conditionMessage(w))
    invokeRestart("muffleWarning")
  })
  got <- 0
  expect_identical(with_told(MapReduce(np = 2)$map(f, 1:40, reduce = function(v) { got <<- got + 1; v })), lapply(1:40, f))
  expect_identical(got, 40)
  expect_identical(with_told(MapReduce(np = 2, retries = 1)$map(f, 1:4)), lapply(1:4, f))
  b <- background(f, 3)
  expect_identical(with_told(b$wait()), f(3))
  expect_identical(b$wait(), f(3))
  p <- Parallel(Reduction(c, l = NULL), num_threads = 2)
  with_told(with(p, p$var$l <- list(f(3))))
  expect_identical(p$var$l, list(f(3), f(3)))
  expect_match(told, "package:stats")
  raise <- function(i) warning(structure(class = c("own", "warning", "condition"), list(message = "m", call = NULL, e = f(3))))
  told <- character()
  with_told(MapReduce(np = 2)$map(function(i) raise(i), 1:3))
  expect_identical(told, rep("m", 3))
})

test_that("recursion without an end is an error of its class, wherever the item runs", {
  r <- run_script({
    deep <- function(n) deep(n + 1)
    f <- function(i) if (i == 2) deep(1) else i
    classes <- function(e) c(inherits(e, "WorkerException"), inherits(e$reason, "stackOverflowError"))
    caught <- function(expr) tryCatch(expr, error = classes)
    maps <- lapply(c(0, 2), function(np) {
      some <- MapReduce(np = np, on_error = "collect")$map(f, 1:3)
      c(some[[1]], some[[3]], classes(some[[2]]), caught(MapReduce(np = np)$map(f, 1:3)))
    })
    regions <- lapply(0:1, function(rank) {
      p <- Parallel(num_threads = 2)
      caught(with(p, if (p$rank == rank) deep(1)))
    })
    answer(list(maps, regions, caught(background(deep, 1)$wait())))
  })
  expect_script_ok(r)
  map <- c(1L, 3L, 1L, 1L, 1L, 1L)
  expect_identical(r$value, list(list(map, map), list(c(TRUE, TRUE), c(TRUE, TRUE)), c(TRUE, TRUE)))
})

test_that("messages and names that are no text in their encoding arrive as they are, and stop nothing", {
  same <- function(a, b) identical(charToRaw(a), charToRaw(b))
  for (bytes in list("a\xf6n", "a\xf6n\n", "\xff(")) for (encoding in c("unknown", "UTF-8", "latin1")) {
    s <- bytes
    Encoding(s) <- encoding
    pool <- MapReduce(np = 2)
    e <- tryCatch(pool$map(function(i) stop(s), 1:2), error = identity)
    expect_s3_class(e, "WorkerException")
    expect_true(same(conditionMessage(e$reason), tryCatch(stop(s), error = conditionMessage)))
    expect_true(grepl("last_error\\(\\) shows its calls\\)$", conditionMessage(e), useBytes = TRUE))
    e <- tryCatch(background(function() stop(s))$wait(), error = identity)
    expect_s3_class(e, "WorkerException")
    e <- tryCatch(pool$map(function(i) if (i == 1) stop("x"), setNames(1:2, c(s, "b"))), error = identity)
    expect_s3_class(e, "WorkerException")
    e <- tryCatch(do.call(MapReduce, setNames(list(1), s)), error = identity)
    expect_s3_class(e, "sharedmem_argument_error")
    said <- tryCatch(pool$map(function(i) warning(s), 1:2), warning = identity)
    expect_true(same(conditionMessage(said), tryCatch(warning(s), warning = conditionMessage)))
  }
})
