test_that("a WorkerException has its fields and classes, also under its old name", {
  reason <- simpleError("bad", quote(f(x)))
  e <- WorkerException(reason, c("a()", "b()"), item = 3, rank = 1L, pid = 99L)
  expect_s3_class(e, c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"), exact = TRUE)
  expect_identical(e[c("reason", "traceback", "item", "rank", "pid")],
                   list(reason = reason, traceback = c("a()", "b()"), item = 3, rank = 1L, pid = 99L))
  expect_match(conditionMessage(e), "bad.*worker 1, pid 99 at item 3")
  expect_identical(SlaveException(reason), WorkerException(reason))
  expect_output(print(e), "a\\(\\).*")
  expect_error(stop(e), class = "SlaveException")
})

test_that("a reason without a usable message does not spoil the exception", {
  for (message in list(NULL, NA_character_, 5, c("a", "b"), character())) {
    e <- WorkerException(structure(class = c("odd", "error", "condition"), list(message = message, call = NULL)))
    expect_type(conditionMessage(e), "character")
    expect_length(conditionMessage(e), 1)
    expect_output(print(e), "odd")
  }
})

test_that("StopProcessGroup and LostExceptionType are an error and a warning", {
  expect_s3_class(StopProcessGroup(), c("StopProcessGroup", "sharedmem_error", "error", "condition"), exact = TRUE)
  expect_s3_class(LostExceptionType(), c("LostExceptionType", "sharedmem_warning", "warning", "condition"), exact = TRUE)
})

test_that("abort_argument() names the argument, what came and what was expected", {
  e <- tryCatch(sharedmem:::abort_argument("x", "NULL", "a number"), error = identity)
  expect_s3_class(e, c("sharedmem_argument_error", "sharedmem_error", "error", "condition"), exact = TRUE)
  expect_identical(e[c("arg", "got", "expected")], list(arg = "x", got = "NULL", expected = "a number"))
})

test_that("values are described shortly", {
  d <- sharedmem:::describe_value
  expect_identical(d(NULL), "NULL")
  expect_identical(d(sum), "a function")
  expect_identical(d("a\nb"), "\"a\\nb\"")
  expect_identical(d(NA_character_), "NA")
  expect_identical(d(1.5), "1.5")
  expect_identical(d(1:3), "integer of length 3")
  expect_identical(d(list(1)), "an object of class <list>")
  expect_lt(nchar(d(strrep("x", 1e5))), 100)
})

test_that("wait statuses are told in words", {
  d <- sharedmem:::describe_status
  expect_match(d(9L), "signal 9 \\(SIGKILL\\); .*out of memory")
  expect_match(d(11L), "signal 11 \\(SIGSEGV\\)$")
  expect_match(d(139L), "SIGSEGV") # with a core dump
  expect_match(d(3L * 256L), "exit status 3")
  expect_match(d(0L), "exit status 0")
  expect_match(d(-1L), "unknown")
})

test_that("every signal of this system has its name, real-time ones too", {
  d <- sharedmem:::describe_status
  for (name in c("SIGXCPU", "SIGXFSZ", "SIGSYS", "SIGVTALRM", "SIGCHLD")) {
    number <- sharedmem:::constants$signal[[name]]
    expect_match(d(number), sprintf("signal %d \\(%s\\)$", number, name))
  }
  skip_if(Sys.info()[["sysname"]] != "Linux")
  expect_match(d(24L), "SIGXCPU")
  expect_match(d(64L), "\\(SIGRTMIN\\+30\\)$")
  expect_false(any(grepl("no name", vapply(c(1:31, 34:64), d, ""))))
  expect_match(d(32L), "signal 32 \\(no name here\\)$") # which glibc keeps for itself
})

test_that("last_error() is the last failure raised, with the calls in the worker", {
  inner <- function(i) stop(paste("bad", i))
  raise <- list(function() MapReduce(np = 2)$map(function(i) inner(i), 1), function() MapReduce(np = 0)$map(function(i) inner(i), 2),
                function() background(function(i) inner(i), 3)$wait(),
                function() { p <- Parallel(num_threads = 2); with(p, if (p$rank == 1) inner(4) else p$barrier()) },
                function() { p <- Parallel(num_threads = 2); with(p, if (p$rank == 0) inner(5) else p$barrier()) })
  for (k in seq_along(raise)) {
    e <- tryCatch(raise[[k]](), WorkerException = identity)
    expect_identical(last_error(), e)
    expect_identical(conditionMessage(last_error()$reason), paste("bad", k))
    expect_true(any(grepl("inner", last_error()$traceback)))
  }
  MapReduce(np = 2, on_error = "collect")$map(function(i) inner(9), 1)
  expect_identical(conditionMessage(last_error()$reason), "bad 5")
})
