error_of <- function(expr) tryCatch({ expr; NULL }, error = function(e) e)

test_that("a number as the first argument is np, and np may be one alone", {
  expect_identical(MapReduce(4)$np, 4L)
  expect_identical(MapReduce(0)$backend, ProcessBackend)
  expect_identical(error_of(MapReduce(4, 2))$arg, "backend")
})

test_that("an unknown option, one of another package, or part of a name is refused with the option that is meant", {
  meant <- c(ncores = "np", mc.cores = "np", workers = "np", retry = "retries", time = "timeout", on_err = "on_error", retires = NA)
  for (name in names(meant)) {
    e <- error_of(do.call(MapReduce, stats::setNames(list(2), name)))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, name)
    if (!is.na(meant[[name]])) expect_match(conditionMessage(e), sprintf("use `%s`", meant[[name]]), fixed = TRUE)
  }
  expect_identical(error_of(MapReduceByThread(workers = 2))$arg, "workers")
  expect_identical(error_of(MapReduce(ProcessBackend, 2, 3))$arg, "...")
})

test_that("further arguments reach func whatever the beginning of their names, as in lapply", {
  names <- c("f", "fu", "fun", "s", "se", "seq", "st", "sta", "r", "red", "m", "min", "minl", "p", "pool", "state", "i", "each", "n")
  for (np in c(0, 2)) for (name in names) {
    f <- eval(parse(text = sprintf("function(x, %s) x * %s", name, name)))
    more <- stats::setNames(list(2), name)
    expect_identical(do.call(MapReduce(np = np)$map, c(list(f, 1:3), more)), do.call(lapply, c(list(1:3, f), more)))
    through <- function(...) MapReduce(np = np)$map(f, 1:3, ...)
    expect_identical(do.call(through, more), list(2, 4, 6))
  }
  take <- function(x, f, fu) c(x, f, fu)
  expect_identical(background(take, 1, f = 2, fu = 3)$wait(), c(1, 2, 3))
  wrapped <- function(...) background(...)
  expect_identical(wrapped(fu = 3, f = 2, take, 1)$wait(), c(1, 2, 3))
  expect_identical(names(Reduction("+", o = 1)$values), "o")
})

test_that("an argument reaches func as the expression it was given as", {
  shown <- function(x, y) deparse(substitute(y))
  a <- 1
  expect_identical(MapReduce(np = 0)$map(shown, 1, y = a + 2), lapply(1, shown, y = a + 2))
})

test_that("a time limit that is no positive number of seconds is refused by its name", {
  for (timeout in list(0, -1, NA_real_, "1", c(1, 2), NULL)) {
    e <- error_of(MapReduce(np = 0, timeout = timeout))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, "timeout")
  }
})

test_that("a pool option given to map() is refused with the place where it belongs, unless func takes it", {
  pool <- MapReduce(np = 0)
  for (name in c("retries", "on_error", "timeout", "seed", "output", "threads", "progress", "trace", "np", "backend")) {
    e <- error_of(do.call(pool$map, c(list(function(x) x, 1:3), stats::setNames(list(2), name))))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, name)
  }
  expect_identical(pool$map(function(x, retries) x * retries, 1:3, retries = 2), list(2, 4, 6))
  expect_identical(pool$map(function(x, ...) ..1, 1, timeout = 2), list(2))
})

test_that("arguments of lapply, in its order or by its names, are told how map takes them", {
  pool <- MapReduce(np = 0)
  expect_match(conditionMessage(error_of(pool$map(X = 1:3, FUN = sqrt))), "map(FUN, X)", fixed = TRUE)
  expect_match(conditionMessage(error_of(pool$map(1:3, sqrt))), "takes the function first", fixed = TRUE)
  for (e in list(error_of(pool$map()), error_of(pool$map(sqrt)), error_of(pool$map(sequence = 1))))
    expect_s3_class(e, "sharedmem_argument_error")
  expect_identical(pool$map(sequence = 1:2, func = function(x, k) x + k, k = 3L), list(4L, 5L))
  expect_identical(pool$map(minlength = 0, function(x, k) x + k, star = FALSE, 1:2, k = 3L), list(4L, 5L))
})

test_that("members of a pool cannot be assigned, but what lies in local can", {
  pool <- MapReduce(np = 2)
  for (member in c("np", "backend", "options", "map", "critical", "ordered", "local", "tls", "trace")) {
    expect_s3_class(error_of(eval(substitute(pool$m <- 1, list(m = as.name(member))))), "sharedmem_misuse_error")
    expect_error(assign(member, 1, envir = pool))
  }
  expect_s3_class(error_of(pool[["np"]] <- 3L), "sharedmem_misuse_error")
  expect_error(pool$options$retries <- 3L, class = "sharedmem_misuse_error")
  pool$local$mine <- 3
  expect_identical(pool$local$mine, 3)
  expect_identical(pool$np, 2L)
})

test_that("a pool shows its members and the options that differ", {
  shown <- capture.output(print(MapReduce(np = 3, retries = 2, timeout = 1.5)))
  for (member in c("map(", "critical(", "ordered(", "local", "np", "backend", "options"))
    expect_true(any(grepl(paste0("$", member), shown, fixed = TRUE)))
  expect_true(any(grepl("retries = 2, timeout = 1.5", shown, fixed = TRUE)))
  expect_true(any(grepl("the defaults", capture.output(print(MapReduce(np = 1))), fixed = TRUE)))
  expect_output(print(MapReduce(np = 1, trace = TRUE)), "$trace: no map yet", fixed = TRUE)
})

test_that("with() and close() of a pool say what to do instead", {
  pool <- MapReduce(np = 2)
  expect_error(with(pool, 1), "pool$map", fixed = TRUE, class = "sharedmem_misuse_error")
  for (f in list(pool$close, pool$terminate, pool$join, pool$shutdown)) expect_error(f(), class = "sharedmem_misuse_error")
})
