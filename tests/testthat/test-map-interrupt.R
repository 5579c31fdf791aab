interrupted <- function(code, when) {
  started <- tempfile("started")
  p <- start_script(c(
    paste0("kids <- function() { p <- suppressWarnings(system(paste('ps -o pid=,stat=,comm= --ppid', Sys.getpid()), intern = TRUE)); ",
           "sum(!grepl('ps$|sh$', p)) }"),
    "fds <- length(list.files('/proc/self/fd'))",
    "pool <- MapReduce(np = 2)",
    sprintf("r <- tryCatch({%s; 'done'}, interrupt = function(i) 'interrupted')", code),
    "answer(list(r, kids = kids(), fds = length(list.files('/proc/self/fd')) - fds, again = pool$map(identity, 1:2)))"),
    timeout = 60, vars = list(started = started))
  wait_until(file.exists(started) || script_ended(p), 30)
  Sys.sleep(when)
  tools::pskill(p$pid, tools::SIGINT)
  finish_script(p, grace = 2)
}

test_that("Ctrl-C while waiting, in reduce and while a large result is read ends all workers and nothing stays", {
  skip_under_sanitizer()
  for (code in c(
    "pool$map(function(i) { file.create(started); Sys.sleep(60) }, 1:4)",
    "pool$map(function(i) i, 1:4, reduce = function(x) { file.create(started); Sys.sleep(60) })",
    "pool$map(function(i) repeat file.create(started), 1:4)",
    "pool$map(function(i) pool$critical({ file.create(started); Sys.sleep(60) }), 1:4)",
    "pool$map(function(i) { file.create(started); numeric(1e7) }, 1:1000, reduce = function(x) NULL)")) {
    r <- interrupted(code, 0.2)
    expect_script_ok(r)
    expect_identical(r$value[[1]], "interrupted", info = code)
    expect_identical(r$value$kids, 0L)
    expect_identical(r$value$fds, 0L)
    expect_identical(r$value$again, list(1L, 2L))
    expect_lt(r$elapsed, 40)
  }
})

test_that("Ctrl-C while workers are being forked ends those that have been", {
  skip_under_sanitizer()
  r <- run_script({
    kids <- function() length(scan(sprintf("/proc/self/task/%d/children", Sys.getpid()), quiet = TRUE))
    master <- Sys.getpid()
    sent <- full(1, 0, "i4")
    before <- c(length(list.files("/proc/self/fd")), if (file.exists("/proc/self/task")) kids())
    r <- lapply(c(0, 1), function(retries) {
      sent[1] <- 0L
      tryCatch(MapReduce(np = 60, retries = retries)$map(function(i) {
        if (atomic_add(sent, 1, 1) == 1) tools::pskill(master, tools::SIGINT)
        Sys.sleep(60)
      }, 1:60), interrupt = function(i) "interrupted")
    })
    after <- c(length(list.files("/proc/self/fd")), if (file.exists("/proc/self/task")) kids())
    answer(list(r, after - before, MapReduce(np = 2)$map(identity, 1:2)))
  }, timeout = 60)
  expect_script_ok(r)
  expect_identical(r$value[[1L]], list("interrupted", "interrupted"))
  expect_true(all(r$value[[2L]] == 0L))
  expect_identical(r$value[[3L]], list(1L, 2L))
})

test_that("Ctrl-C that nobody catches ends an Rscript with its workers", {
  started <- tempfile("started")
  p <- start_script("MapReduce(np = 2)$map(function(i) { file.create(started); Sys.sleep(100) }, 1:4)", vars = list(started = started))
  expect_true(wait_until(file.exists(started), 30))
  tools::pskill(p$pid, tools::SIGINT)
  r <- finish_script(p, grace = 2)
  expect_false(r$timed_out)
  expect_identical(r$left, integer())
  expect_identical(r$files, character())
})

test_that("the master's death by SIGKILL ends every worker, whatever it does", {
  for (code in c("Sys.sleep(100)", "pool$critical(Sys.sleep(100))", "{ x <- runif(1e7); repeat sort(x) }", "repeat NULL",
                 "pool$map(function(j) Sys.sleep(100), 1:2)", "pool$ordered(Sys.sleep(100))")) {
    started <- tempfile("started")
    p <- start_script(c("pool <- MapReduce(np = 2)",
                        sprintf("pool$map(function(i) { file.create(started); %s }, 1:4)", code)), vars = list(started = started))
    expect_true(wait_until(file.exists(started), 30))
    expect_gte(length(group_members(p$pgid)), 2L)
    tools::pskill(p$pid, tools::SIGKILL)
    r <- finish_script(p)
    expect_identical(r$signal, 9L)
    expect_identical(r$left, integer(), info = code)
  }
})
