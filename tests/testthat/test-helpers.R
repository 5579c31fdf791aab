test_that("a script's output, status and answer come back", {
  r <- run_script({
    cat("one\ntwo\n")
    message("three")
    answer(list(x = x + 1L, attached = "sharedmem" %in% loadedNamespaces()))
    quit(status = 3)
  }, vars = list(x = 41L))
  expect_identical(r$status, 3L)
  expect_identical(r$signal, NA_integer_)
  expect_identical(r$stdout, c("one", "two"))
  expect_identical(r$stderr, "three")
  expect_identical(r$value, list(x = 42L, attached = TRUE))
  expect_false(r$timed_out)
  expect_identical(r$left, integer())
  expect_identical(r$files, character())
})

test_that("a script that dies by a signal is told apart from one that exits", {
  r <- run_script("tools::pskill(Sys.getpid(), tools::SIGKILL)", package = FALSE)
  expect_identical(r$signal, 9L)
  expect_identical(r$status, NA_integer_)
})

test_that("a script's watchdog goes when the script does", {
  p <- start_script("Sys.sleep(0)", timeout = 4321, package = FALSE)
  expect_true(wait_until(file.exists(file.path(p$dir, "watchdog"))))
  watchdog <- as.integer(readLines(file.path(p$dir, "watchdog")))
  expect_identical(finish_script(p)$status, 0L)
  expect_true(wait_until(length(group_members(watchdog)) == 0L && !watchdog %in% live_pids()))
})

test_that("a script that ignores every polite signal ends at the time limit, its children too", {
  r <- run_script({
    system("trap '' TERM INT HUP; echo $$; sleep 300 >/dev/null", wait = FALSE)
    repeat Sys.sleep(1)
  }, timeout = 2, package = FALSE)
  expect_true(r$timed_out)
  expect_true(wait_until(!as.integer(r$stdout[1]) %in% live_pids()))
})

test_that("a process that outlives its script is reported", {
  r <- run_script("system('sleep 300', wait = FALSE)", package = FALSE)
  expect_identical(r$status, 0L)
  expect_gte(length(r$left), 1L)
  expect_failure(expect_script_ok(r), "left")
  expect_true(wait_until(!any(r$left %in% live_pids())))
})

test_that("the environment of a script can be set", {
  r <- run_script("cat(Sys.getenv('SM_TEST'))", env = c(SM_TEST = "it's set"), package = FALSE)
  expect_identical(r$stdout, "it's set")
})

test_that("a script can be started, signalled and finished", {
  p <- start_script("repeat Sys.sleep(1)", package = FALSE)
  expect_true(p$pid %in% group_members(p$pgid))
  tools::pskill(p$pid, tools::SIGTERM)
  expect_identical(finish_script(p)$signal, 15L)
})

test_that("what is left behind is found", {
  before <- snapshot_resources()
  expect_nothing_left(before)
  con <- file(tempfile(), "w")
  expect_failure(expect_nothing_left(before, timeout = 0), "fds: ")
  file <- summary(con)$description
  close(con)
  expect_failure(expect_nothing_left(before, timeout = 0), "files: ")
  unlink(file)
  expect_nothing_left(before)
  job <- parallel::mcparallel(Sys.sleep(60))
  expect_failure(expect_nothing_left(before, "children", timeout = 0), "children: ")
  tools::pskill(job$pid, tools::SIGKILL)
  suppressWarnings(parallel::mccollect(job))
  expect_nothing_left(before)
})

test_that("local_np() sets the processors for the test alone", {
  was <- Sys.getenv("OMP_NUM_THREADS", NA)
  f <- function() {
    local_np(2)
    Sys.getenv("OMP_NUM_THREADS")
  }
  expect_identical(f(), "2")
  expect_identical(Sys.getenv("OMP_NUM_THREADS", NA), was)
})
