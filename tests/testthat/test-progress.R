# A screen and a clock to order.
fake_screen <- function() {
  s <- new.env()
  s$now <- 100
  s$text <- character()
  s$put <- function(text) s$text <- c(s$text, text)
  s$clock <- function() s$now
  s
}

test_that("a bar waits half a second, is drawn ten times a second at most, and ends in one line", {
  s <- fake_screen()
  bar <- sharedmem:::progress_bar(1000, "map", s$put, function() 80L, s$clock, TRUE)
  for (k in 1:400) {
    s$now <- 100 + k / 100
    bar$tick(k)
  }
  expect_lte(length(s$text), 36)
  expect_gte(length(s$text), 30)
  expect_true(all(startsWith(s$text, "\r")))
  expect_match(s$text[length(s$text)], "40%.*400/1 000.*100/s.*6\\.0 s left")
  before <- length(s$text)
  bar$done()
  expect_match(s$text[length(s$text)], "^map: 1 000 items in 4\\.0 s, 250/s\n$")
  bar$tick(1000)
  bar$abort()
  expect_identical(length(s$text), before + 1L)
})

test_that("a quick map shows nothing", {
  s <- fake_screen()
  for (kind in c("bar", "log")) {
    p <- if (kind == "bar") sharedmem:::progress_bar(10, "map", s$put, function() 80L, s$clock, TRUE)
         else sharedmem:::progress_log(10, "map", s$put, s$clock)
    p$tick(5)
    s$now <- s$now + 0.3
    p$tick(10)
    p$done()
  }
  expect_identical(s$text, character())
})

test_that("a bar never is wider than the terminal", {
  for (width in c(1:120, 500)) for (done in c(0, 7, 999999, 1e6)) {
    line <- sharedmem:::bar_line(done, 1e6, 3.21, "map", width)
    expect_lte(nchar(line), width)
  }
  expect_match(sharedmem:::bar_line(250, 1000, 10, "map", 79), "^map  25% \\[=+> +\\] 250/1 000  25/s  0:30 left$")
})

test_that("a log has one line each tenth of the way, and none sooner than five seconds after another", {
  s <- fake_screen()
  log <- sharedmem:::progress_log(1000, "map", s$put, s$clock)
  for (k in 1:1000) {
    s$now <- 100 + k / 10
    log$tick(k)
  }
  log$done()
  expect_identical(length(s$text), 11L)
  expect_match(s$text[1L], "^map: 10%, 100 of 1 000 items, 10/s, 1:30 left\n$")
  s <- fake_screen()
  log <- sharedmem:::progress_log(1000, "map", s$put, s$clock)
  for (k in 1:1000) {
    s$now <- 100 + k / 80
    log$tick(k)
  }
  expect_lte(length(s$text), 2L)
})

test_that("a log goes to stderr unless it is told otherwise", {
  log <- sharedmem:::progress_log(10, "map", every = 0)
  out <- capture.output(said <- capture.output(log$tick(5), type = "message"))
  expect_identical(out, character())
  expect_match(said, "^map: 50%, 5 of 10 items, ")
})

test_that("times read well", {
  expect_identical(vapply(c(0, 9.94, 59.2, 61, 3601, Inf), sharedmem:::format_clock, ""),
                   c("0.0 s", "9.9 s", "1:00", "1:01", "1:00:01", "?"))
})

test_that("progress = TRUE writes nothing but its lines, and to stderr; results are the same", {
  r <- run_script({
    pool <- MapReduce(np = 2, progress = TRUE)
    answer(pool$map(function(i) i^2, 1:100))
  })
  expect_script_ok(r)
  expect_identical(r$value, as.list((1:100)^2))
  expect_identical(r$stdout, character())
  expect_identical(r$stderr, character())
})

test_that("in a terminal there is a bar, messages come on lines of their own, and the last line is clean", {
  skip_if(!nzchar(Sys.which("script")) || Sys.info()[["sysname"]] != "Linux")
  skip_if(system("script -qec true /dev/null >/dev/null 2>&1 </dev/null") != 0L, "no terminal can be opened here")
  r <- run_script({
    code <- tempfile(fileext = ".R")
    writeLines(c(
      "library(sharedmem)",
      "pool <- MapReduce(np = 2, progress = TRUE)",
      "r <- pool$map(function(i) { Sys.sleep(0.01); if (i == 150) message('hello from a worker'); i }, 1:200)",
      "try(pool$map(function(i) { Sys.sleep(0.01); if (i == 150) stop('stopped here'); i }, 1:200))",
      "cat('the end\\n')"), code)
    log <- tempfile()
    system(sprintf("TERM=xterm script -qec 'stty cols 60; %s %s' %s", file.path(R.home("bin"), "Rscript"), code, log), ignore.stdout = TRUE)
    answer(readLines(log, warn = FALSE))
    unlink(c(code, log))
  }, timeout = 90)
  expect_script_ok(r)
  clear <- "\r\033[K"
  # what a line looks like after its last clearing
  seen <- sub("^.*\033\\[K", "", sub("\r$", "", r$value))
  expect_true(any(grepl("%.*/200.*left", r$value)))
  expect_true("hello from a worker" %in% seen)
  expect_true("the end" %in% seen)
  expect_true(any(grepl("^map: 200 items in ", seen)))
  expect_true(any(grepl("^Error.*stopped here", seen)))
})

test_that("progressr's handlers are told, where they are in use", {
  skip_if_not_installed("progressr")
  r <- run_script({
    options(progressr.enable = TRUE)
    progressr::handlers("void")
    pool <- MapReduce(np = 2, progress = TRUE)
    told <- 0
    types <- character()
    f <- function() pool$map(function(i) Sys.sleep(0.005), 1:100)
    progressr::with_progress(withCallingHandlers(f(), progression = function(p) {
      types <<- c(types, p$type)
      if (p$type == "update") told <<- told + p$amount
    }))
    listened <- c(sharedmem:::progressr_listens(), progressr::with_progress((function() sharedmem:::progressr_listens())()))
    failed <- tryCatch(progressr::with_progress(pool$map(function(i) stop("x"), 1:4)), error = class)
    answer(list(told, types, listened, failed))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1L]], 100)
  expect_identical(r$value[[2L]][c(1L, length(r$value[[2L]]))], c("initiate", "finish"))
  expect_identical(r$value[[3L]], c(FALSE, TRUE))
  expect_true("WorkerException" %in% r$value[[4L]])
})

test_that("progress works in the master, and takes TRUE or FALSE only", {
  expect_identical(MapReduce(np = 0, progress = TRUE)$map(identity, 1:3), as.list(1:3))
  expect_error(MapReduce(progress = 1), class = "sharedmem_argument_error")
})
