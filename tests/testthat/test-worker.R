test_that("a worker reads nothing from the master's stdin and ignores Ctrl-C", {
  pool <- MapReduce(np = 1)
  expect_identical(pool$map(function(i) readLines(file("stdin")), 1), list(character()))
  expect_identical(pool$map(function(i) { tools::pskill(Sys.getpid(), tools::SIGINT); Sys.sleep(0.01); "here" }, 1), list("here"))
})

test_that("a worker holds no descriptor of the master's other workers", {
  pool <- MapReduce(np = 4, output = "inherit")
  sockets <- function() sum(grepl("^socket:|pidfd", Sys.readlink(list.files("/proc/self/fd", full.names = TRUE))))
  skip_if(!dir.exists("/proc/self/fd"), "no /proc")
  before <- sockets()
  r <- pool$map(function(i) { Sys.sleep(0.02); sockets() }, 1:8)
  expect_true(all(unlist(r) <= before + 1L))
  bg <- background(Sys.sleep, 30)
  r <- pool$map(function(i) sockets(), 1:2)
  expect_true(all(unlist(r) <= before + 1L))
  bg$cancel()
})

test_that("options, working directory and environment of a worker are the master's, and its changes its own", {
  pool <- MapReduce(np = 1)
  options(sm_test_option = 5)
  on.exit(options(sm_test_option = NULL))
  here <- getwd()
  r <- pool$map(function(i) {
    o <- getOption("sm_test_option")
    options(sm_test_option = 6)
    setwd("/")
    Sys.setenv(SM_TEST_ENV = "x")
    o
  }, 1)
  expect_identical(r, list(5))
  expect_identical(getOption("sm_test_option"), 5)
  expect_identical(getwd(), here)
  expect_identical(Sys.getenv("SM_TEST_ENV"), "")
})

test_that("options(error = ) of the master does not run in a worker", {
  r <- run_script({
    options(error = quote(cat("dumped\n")))
    e <- tryCatch(MapReduce(np = 2)$map(function(i) stop("x"), 1:2), error = function(e) class(e)[1])
    answer(e)
  })
  expect_script_ok(r)
  expect_identical(r$value, "WorkerException")
  expect_false(any(grepl("dumped", r$stdout)))
})

test_that("the traceback names the calls in the worker, not ours, and long ones are cut", {
  pool <- MapReduce(np = 1)
  f <- function(x) g(x)
  g <- function(x) stop("deep down")
  e <- tryCatch(pool$map(function(i) f(i), 1), error = identity)
  expect_identical(e$traceback, c("func(item, ...)", "f(i)", "g(x)"))
  h <- function(n) if (n == 0) stop("bottom") else h(n - 1)
  e <- tryCatch(pool$map(function(i) h(500), 1), error = identity)
  expect_lte(length(e$traceback), 60)
  e <- tryCatch(MapReduce(np = 0)$map(function(i) f(i), 1), error = identity)
  expect_true(all(c("f(i)", "g(x)") %in% e$traceback))
})

test_that("a worker that is stopped and continued goes on", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) {
    if (i == 1) system(sprintf("(sleep 0.2; kill -CONT %d) & kill -STOP %d", Sys.getpid(), Sys.getpid()), wait = FALSE)
    Sys.sleep(0.05)
    i
  }, 1:6)
  expect_identical(unlist(r), 1:6)
})

test_that("a SIGKILL for the whole group of workers is one error", {
  pids <- full(4, 0, "i4")
  before <- snapshot_resources()
  pool <- MapReduce(np = 4)
  e <- tryCatch(pool$map(function(i) {
    pids[pool$local$rank + 1] <- Sys.getpid()
    Sys.sleep(0.1)
    if (i == 1) { p <- setdiff(pids[], c(0, Sys.getpid())); tools::pskill(c(p, Sys.getpid()), 9) }
    Sys.sleep(5)
  }, 1:4), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_map_clean(before)
})

test_that("children that a worker starts do not disturb the map", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) {
    a <- system("exit 3")
    b <- unlist(parallel::mclapply(1:2, function(k) k * i, mc.cores = 2))
    c(a, b)
  }, 1:3)
  expect_equal(r, lapply(1:3, function(i) c(3, 1 * i, 2 * i)))
})

test_that("gc() and finalizers in a worker leave the master's objects alone", {
  fin <- tempfile()
  x <- new.env()
  reg.finalizer(x, function(e) cat("gone\n", file = fin, append = TRUE))
  pool <- MapReduce(np = 2)
  a <- full(1000, 1)
  r <- pool$map(function(i) { a <- NULL; b <- full(10, i); gc(full = TRUE); sum(b) }, 1:4)
  expect_equal(unlist(r), 10 * 1:4)
  expect_equal(sum(a), 1000)
  expect_false(file.exists(fin))
  expect_identical(environmentName(topenv(x)), environmentName(topenv(environment())))
})
