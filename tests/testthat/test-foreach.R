skip_if_not_installed("foreach")
`%dopar%` <- foreach::`%dopar%`
`%:%` <- foreach::`%:%`
foreach <- foreach::foreach
icount <- iterators::icount

die <- function() tools::pskill(Sys.getpid(), tools::SIGKILL)

local_backend <- function(np = 2, ..., env = parent.frame()) {
  registerDoSharedmem(np, ...)
  do.call(on.exit, list(quote(foreach::registerDoSEQ()), add = TRUE), envir = env)
}

test_that("a registered back end tells its name, workers and version", {
  local_backend(2)
  expect_identical(foreach::getDoParName(), "doSharedmem")
  expect_equal(foreach::getDoParWorkers(), 2)
  expect_identical(foreach::getDoParVersion(), as.character(packageVersion("sharedmem")))
})

test_that("a loop gives what foreach's own back end gives, whatever it runs over and however it combines", {
  m <- matrix(1:12, 3)
  loops <- quote(list(
    foreach(i = 1:7) %dopar% i^2,
    foreach(i = list(1, NULL, "a"), j = 4:9) %dopar% list(i, j),
    foreach(i = c(a = 1, b = 2), .combine = c) %dopar% i,
    foreach(i = 1:250, .combine = c) %dopar% i,
    foreach(i = 1:7, .combine = "+", .init = 100, .final = sqrt) %dopar% i,
    foreach(i = 1:7, .combine = rbind) %dopar% c(i, i),
    foreach(x = iterators::iter(m, by = "col"), .combine = cbind) %dopar% rev(x),
    foreach(i = icount(9), .combine = c) %dopar% i,
    foreach(icount(2), 1:3) %dopar% "x",
    foreach(i = factor(c("u", "v"))) %dopar% i,
    foreach(i = integer(), .combine = c) %dopar% i,
    foreach(i = integer()) %dopar% i,
    foreach(i = 1:3) %dopar% NULL,
    foreach(i = 1:3, .final = length) %dopar% i,
    foreach(i = 1:2, .combine = rbind) %:% foreach(j = 1:3, .combine = c) %dopar% (i * j),
    foreach(i = 1:4) %:% foreach::when(i %% 2 == 0) %dopar% i,
    foreach(i = 1:5, .errorhandling = "remove") %dopar% if (i == 2) stop("no") else i,
    lapply(foreach(i = icount(3), .errorhandling = "pass") %dopar% if (i == 2) stop("no") else i, inherits, "error"),
    foreach::times(3) %dopar% 1))
  foreach::registerDoSEQ()
  expected <- eval(loops)
  local_backend(2)
  expect_identical(eval(loops), expected)
})

test_that("a dead worker is the error of its item alone where errors are passed or removed", {
  local_backend(2)
  passed <- foreach(i = 1:6, .errorhandling = "pass") %dopar% if (i == 3) die() else i
  expect_identical(passed[-3], as.list(c(1L, 2L, 4L, 5L, 6L)))
  expect_s3_class(passed[[3]], "WorkerException")
  expect_match(conditionMessage(passed[[3]]), "SIGKILL")
  expect_identical(foreach(i = icount(6), .combine = c, .errorhandling = "remove") %dopar% if (i == 3) die() else i, c(1L, 2L, 4L, 5L, 6L))
})

test_that("an error or a death ends a loop with the number of its item and its reason", {
  local_backend(2)
  e <- expect_error(foreach(i = 1:20) %dopar% if (i == 4) stop("bad input") else i, class = "sharedmem_task_error")
  expect_identical(conditionMessage(e), "task 4 failed - \"bad input\"")
  expect_equal(e$item, 4)
  expect_identical(conditionMessage(e$reason), "bad input")
  e <- expect_error(foreach(i = icount(20), .combine = c) %dopar% if (i == 4) die() else i, class = "sharedmem_task_error")
  expect_match(conditionMessage(e), "^task 4 failed - .*SIGKILL")
  expect_equal(e$exception$item, 4)
  # an error that is returned counts as one that is raised
  e <- expect_error(foreach(i = 1:3, .combine = list) %dopar% if (i == 2) simpleError("given") else i, class = "sharedmem_task_error")
  expect_identical(conditionMessage(e), "task 2 failed - \"given\"")
})

test_that("retries run the item of a dead worker again", {
  local_backend(2, retries = 1)
  deaths <- full(1, 0)
  r <- foreach(i = 1:5, .combine = c) %dopar% {
    if (i == 2 && atomic_add(deaths, 1, 1) == 1) die()
    i
  }
  expect_identical(r, 1:5)
  expect_identical(deaths[1], 2)
})

test_that("an error in .combine is raised as it is", {
  local_backend(2)
  expect_error(foreach(i = 1:4, .combine = function(a, b) stop(errorCondition("cannot", class = "mine"))) %dopar% i, class = "mine")
})

test_that(".combine is called while the loop runs", {
  local_backend(2)
  seen <- full(1, 0)
  r <- foreach(i = 1:8, .combine = function(a, b) {
    atomic_add(seen, 1, 1)
    c(a, b)
  }, .options.sharedmem = list(timeout = 30)) %dopar% {
    if (i == 8) while (seen[1] < 3) Sys.sleep(0.01) # nobody combines after the loop: it would not end
    i
  }
  expect_identical(r, 1:8)
})

test_that("an iterator without end is read as far as it is needed", {
  local_backend(2)
  read <- 0
  it <- structure(list(nextElem = function() {
    read <<- read + 1
    read
  }), class = c("abstractiter", "iter"))
  expect_error(foreach(i = it) %dopar% if (i == 30) stop("enough") else i, class = "sharedmem_task_error")
  expect_lte(read, 65536)
})

test_that("an iterator whose elements are large or slow to come is read in rounds", {
  read <- 0
  large <- structure(list(nextElem = function() {
    read <<- read + 1
    if (read > 6) stop("StopIteration", call. = FALSE)
    raw(100)
  }), class = c("abstractiter", "iter"))
  it <- iterators::iter(foreach(x = large))
  round <- read_round(it, np = 2, bytes = 1600)
  expect_equal(round$n, 2)
  expect_identical(round$args(2), list(x = raw(100)))
  expect_equal(read_round(it, np = 1, seconds = 0)$n, 4)
  expect_null(read_round(it, np = 1))
})

test_that("rounds change neither results nor random numbers", {
  local_backend(2)
  slow <- function(n) {
    i <- 0
    structure(list(nextElem = function() {
      if (i == n) stop("StopIteration", call. = FALSE)
      Sys.sleep(0.06)
      i <<- i + 1
    }), class = c("abstractiter", "iter"))
  }
  set.seed(1)
  expected <- foreach(i = 1:12, .combine = c) %dopar% rnorm(1)
  set.seed(1)
  expect_identical(foreach(i = slow(12), .combine = c) %dopar% rnorm(1), expected)
  after <- runif(1)
  local_backend(0)
  set.seed(1)
  expect_identical(foreach(i = icount(12), .combine = c) %dopar% rnorm(1), expected)
  expect_identical(runif(1), after)
})

test_that("options of a loop go before those of the registration, and those of other back ends are understood", {
  local_backend(2, seed = FALSE)
  expect_identical(foreach(i = 1:3, .combine = c, .options.sharedmem = list(np = 1)) %dopar% Sys.getpid() |> unique() |> length(), 1L)
  told <- NULL
  r <- foreach(i = 1:3, .combine = c, .options.snow = list(progress = function(n) told <<- c(told, n), preschedule = TRUE)) %dopar% i
  expect_identical(told, c(1, 2, 3))
  expect_silent(foreach(i = 1:2, .options.multicore = list(cores = 2, silent = TRUE, preschedule = FALSE)) %dopar% cat("not seen\n"))
  expect_warning(foreach(i = 1:2, .options.multicore = list(corse = 2)) %dopar% i, "corse")
  expect_true(all(unlist(foreach(i = 1:2, .export = "die",
                                 .options.snow = list(attachExportEnv = TRUE)) %dopar% ("exportEnv" %in% search()))))
  expect_false("exportEnv" %in% search())
  expect_error(foreach(i = 1:2, .options.sharedmem = list(nope = 2)) %dopar% i, class = "sharedmem_argument_error")
  expect_error(foreach(i = 1:2, .options.sharedmem = 3) %dopar% i, class = "sharedmem_argument_error")
})

test_that("bad arguments of the registration are errors there", {
  for (bad in list(quote(registerDoSharedmem(-1)), quote(registerDoSharedmem("a")), quote(registerDoSharedmem(2, 3)),
                   quote(registerDoSharedmem(2, on_error = "collect")), quote(registerDoSharedmem(2, retries = -1)),
                   quote(registerDoSharedmem(2, seed = NA))))
    expect_error(eval(bad), class = "sharedmem_argument_error")
})

test_that("loops inside iterations run within the workers that are left", {
  local_backend(2)
  r <- foreach(i = 1:2, .combine = rbind) %dopar% {
    inner <- foreach(j = 1:3, .combine = c) %dopar% Sys.getpid()
    c(foreach::getDoParWorkers(), length(unique(c(inner, Sys.getpid()))))
  }
  expect_true(all(r == 1))
})

test_that(".packages are attached before the fork", {
  out <- run_script({
    library(foreach)
    registerDoSharedmem(2)
    answer(foreach(i = 1:2, .combine = c, .packages = "splines") %dopar% exists("interpSpline"))
  })
  expect_identical(out$value, c(TRUE, TRUE))
})

test_that("a missing foreach is an error that says what to install", {
  e <- expect_error(need_package("nosuchpackage", "registerDoSharedmem()"), class = "sharedmem_package_error")
  expect_identical(e$package, "nosuchpackage")
  expect_error(need_package("foreach", "it", "999.0"), class = "sharedmem_package_error")
})

test_that("cross-validation through foreach survives a killed worker or names it", {
  skip_if(!nzchar(system.file(package = "caret")), "caret is not installed")
  out <- run_script({
    peer <- "caret"
    suppressPackageStartupMessages(library(peer, character.only = TRUE))
    registerDoSharedmem(2, retries = 1)
    deaths <- full(1, 0)
    model <- getModelInfo("lm", regex = FALSE)[[1]]
    fit <- model$fit
    model$fit <- function(...) {
      if (atomic_add(deaths, 1, 1) == 3) tools::pskill(Sys.getpid(), 9)
      fit(...)
    }
    train_it <- function() {
      set.seed(2)
      train(mpg ~ wt + hp, mtcars, method = model, trControl = trainControl("cv", 5))$results$RMSE
    }
    killed <- train_it()
    undisturbed <- train_it()
    registerDoSharedmem(2)
    deaths[] <- 0
    named <- tryCatch(train_it(), error = function(e) conditionMessage(e))
    answer(list(killed, undisturbed, named))
  }, timeout = 120)
  expect_equal(out$value[[1]], out$value[[2]])
  expect_match(out$value[[3]], "SIGKILL")
})

test_that("iter() takes a shared matrix by rows and columns, and a vector by elements", {
  skip_if_not_installed("foreach")
  m <- matrix(1:6, 2)
  all_of <- function(it) as.list(foreach::foreach(v = it) %do% v)
  `%do%` <- foreach::`%do%`
  for (by in c("row", "column", "cell")) expect_identical(all_of(iterators::iter(copy(m), by = by)), all_of(iterators::iter(m, by = by)))
  expect_identical(all_of(iterators::iter(copy(m))), all_of(iterators::iter(m)))
  expect_identical(all_of(copy(m)), all_of(m))
  expect_identical(lapply(all_of(iterators::iter(copy(c(1.5, 2)))), as.vector), list(1.5, 2))
})
