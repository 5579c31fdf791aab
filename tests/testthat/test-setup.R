# What a worker finds when it starts, and what of the master's it leaves alone.

test_that("temporary files of workers lie in the session's directory, differ, and stay however the map ends", {
  there <- empty(1, "i4")
  files <- function(i) { f <- tempfile("of-worker-"); stopifnot(!file.exists(f)); writeLines("x", f); atomic_add(there, 1, 1L);
                         Sys.sleep(0.005); f }
  ends <- list(
    done = function() MapReduce(np = 3)$map(files, 1:12),
    failed = function() MapReduce(np = 2)$map(function(i) { files(i); stop("x") }, 1:4),
    killed = function() MapReduce(np = 2)$map(function(i) { files(i); tools::pskill(Sys.getpid(), 9) }, 1:4),
    retried = function() {
      n <- full(8, 0, "i4")
      MapReduce(np = 2, retries = 1)$map(function(i) {
        f <- files(i)
        if (atomic_add(n, i, 1) == 1) tools::pskill(Sys.getpid(), 9)
        f
      }, 1:8)
    },
    reduced = function() MapReduce(np = 2)$map(files, 1:4, reduce = function(f) stop("in reduce")),
    background = function() background(files, 1)$wait(),
    here = function() MapReduce(np = 0)$map(files, 1:2))
  for (end in ends) {
    there[] <- 0L
    r <- tryCatch(end(), error = identity)
    made <- list.files(tempdir(), "^of-worker-", full.names = TRUE)
    expect_true(length(made) - there[1] >= 0L && length(made) - there[1] <= 3L) # a worker may end between a file and its count
    if (!inherits(r, "error")) expect_length(made, there[1])
    if (!inherits(r, "error")) expect_true(all(unlist(r) %in% made))
    unlink(made)
  }
  p <- Parallel(Shared(ok = logical(2)), num_threads = 2)
  with(p, p$var$ok[p$rank + 1] <- identical(tempdir(), dirname(tempfile())))
  expect_identical(p$var$ok[], c(TRUE, TRUE))
})

test_that("workers that begin with the same random numbers make different file names", {
  r <- MapReduce(np = 4)$map(function(i) { set.seed(1); vapply(1:50, function(k) tempfile(), "") }, 1:16)
  expect_identical(anyDuplicated(unlist(r)), 0L)
  expect_identical(anyDuplicated(unlist(parallel::mclapply(1:4, function(i) tempfile(), mc.cores = 2, mc.preschedule = FALSE))), 0L)
})

test_that("the console is empty for items, in the session too, and the session's script goes on once", {
  saved <- tempfile()
  r <- run_script({
    fit <- function(i) {
      if (i == 3) browser()
      list(readLines(stdin(), 1), scan(quiet = TRUE), readline("? "), i * 10)
    }
    a <- MapReduce(np = 2)$map(fit, 1:4)
    here <- lapply(list(MapReduce(np = 0), MapReduceByThread(2)), function(pool) pool$map(fit, 1:4))
    failed <- tryCatch(MapReduce(np = 0)$map(function(i) stop("here"), 1), error = conditionMessage)
    b <- background(function() readLines(stdin(), 1))$wait()
    p <- Parallel(Shared(n = integer(2)), num_threads = 2)
    with(p, if (p$rank == 1) p$var$n[2] <- length(readLines(stdin(), 1)) + 10L)
    cat("session\n", file = saved, append = TRUE)
    answer(list(a, b, p$var$n[2], here))
  }, vars = list(saved = saved), env = c("_R_CHECK_BROWSER_NONINTERACTIVE_" = "false")) # testthat sets it
  expect_script_ok(r)
  items <- lapply(1:4, function(i) list(character(), numeric(), "", i * 10))
  expect_identical(r$value, list(items, character(), 10L, list(items, items)))
  expect_identical(readLines(saved), "session")
  unlink(saved)
})

test_that("a file in the master's temporary directory is seen by workers and stays", {
  f <- tempfile()
  writeLines("of the master", f)
  expect_identical(MapReduce(np = 2)$map(function(i) readLines(f), 1:2), rep(list("of the master"), 2))
  expect_identical(readLines(f), "of the master")
  unlink(f)
})

test_that("stdin of a worker is empty, whatever the master's holds", {
  r <- run_script({
    code <- paste0("library(sharedmem); r <- MapReduce(np = 2)$map(function(i) length(readLines(file('stdin'))), 1:2); cat('read', ",
                   "unlist(r), '\\n'); cat('master', readLines(file('stdin')), '\\n')")
    f <- tempfile()
    writeLines(code, f)
    answer(system2(file.path(R.home("bin"), "Rscript"), f, input = c("one", "two"), stdout = TRUE))
  })
  expect_script_ok(r)
  expect_identical(trimws(r$value), c("read 0 0", "master one two"))
})

test_that("a graphics device that is open while workers run and draw is whole in the end", {
  plain <- tempfile(fileext = ".pdf")
  mapped <- tempfile(fileext = ".pdf")
  draw <- function(file, between) {
    pdf(file, compress = FALSE)
    plot(1:10, main = "before")
    between()
    plot(1:5, main = "after")
    dev.off()
  }
  draw(plain, function() NULL)
  draw(mapped, function() {
    r <- MapReduce(np = 2)$map(function(i) { plot(1:1000, main = "in a worker"); dev.cur(); i }, 1:4)
    try(MapReduce(np = 2)$map(function(i) { plot(1:3); dev.off(); q() }, 1:2), silent = TRUE)
    own <- MapReduce(np = 2)$map(function(i) { f <- tempfile(); pdf(f); plot(i); dev.off(); graphics.off(); file.size(f) }, 1:2)
    expect_true(all(unlist(own) > 1000))
    expect_identical(unlist(r), 1:4)
  })
  whole <- function(f) grep("CreationDate|ModDate", readLines(f, warn = FALSE), value = TRUE, invert = TRUE, useBytes = TRUE)
  expect_identical(whole(mapped), whole(plain))
  unlink(c(plain, mapped))
})

test_that("what the master has buffered in a file connection is written once", {
  f <- tempfile()
  con <- file(f, "w")
  cat("before\n", file = con)
  MapReduce(np = 3)$map(function(i) { gc(); i }, 1:6)
  try(MapReduce(np = 2)$map(function(i) if (i == 1) q() else tools::pskill(Sys.getpid(), 15), 1:2), silent = TRUE)
  cat("after\n", file = con)
  close(con)
  expect_identical(readLines(f), c("before", "after"))
  g <- gzfile(f, "w")
  cat("before\n", file = g)
  MapReduce(np = 3, retries = 1)$map(function(i) i, 1:6)
  cat("after\n", file = g)
  close(g)
  expect_identical(readLines(f), c("before", "after"))
  unlink(f)
})

test_that("an OpenMP library whose threads ran before the fork does not hang workers", {
  skip_on_cran()
  skip_if(!nzchar(Sys.which("make")) || .Platform$OS.type != "unix" || Sys.info()[["sysname"]] != "Linux", "needs a compiler with OpenMP")
  r <- run_script({
    dir.create(d <- tempfile())
    setwd(d)
    writeLines(c("#include <omp.h>", "void team(int *n) {", "  int most = 0;", "#pragma omp parallel", "  {",
                 "#pragma omp atomic", "    most += 1;", "  }", "  *n = most;", "}"), "team.c")
    writeLines(c("PKG_CFLAGS = -fopenmp", "PKG_LIBS = -fopenmp"), "Makevars")
    built <- system2(file.path(R.home("bin"), "R"), c("CMD", "SHLIB", "team.c"), stdout = FALSE, stderr = FALSE) == 0
    if (built) {
      dyn.load("team.so")
      team <- function() .C("team", n = 0L)$n
      Sys.setenv(OMP_NUM_THREADS = "4")
      here <- team()
      inside <- unlist(MapReduce(np = 2)$map(function(i) team(), 1:4))
      successor <- local({
        once <- full(1, 0, "i4")
        unlist(MapReduce(np = 2, retries = 1)$map(function(i) { if (i == 2 && atomic_add(once, 1, 1) == 1) tools::pskill(Sys.getpid(), 9);
                                                                team() }, 1:4))
      })
      answer(list(here = here, inside = inside, background = background(team)$wait(), again = team(), successor = successor))
    } else answer("no compiler")
    setwd("/")
  }, timeout = 60)
  skip_if(identical(r$value, "no compiler"))
  expect_script_ok(r)
  expect_identical(r$value$inside, rep(1L, 4))
  expect_identical(r$value$successor, rep(1L, 4))
  expect_identical(r$value$background, 1L)
  expect_identical(r$value$again, r$value$here)
})

test_that("a nested map has no more workers than the outer one left it", {
  r <- run_script({
    children <- function() sum(process_table()$ppid == Sys.getpid())
    outer <- MapReduce(np = 4)
    inner <- MapReduce(np = 4)
    used <- outer$map(function(i) length(unique(unlist(inner$map(function(j) { Sys.sleep(0.01); Sys.getpid() }, 1:12)))), 1:4)
    wide <- MapReduce(np = 8)
    half <- wide$map(function(i) length(unique(unlist(inner$map(function(j) { Sys.sleep(0.01); Sys.getpid() }, 1:12)))), 1:2)
    deep <- outer$map(function(i) inner$map(function(j) MapReduce(np = 4)$map(function(k) k, 1:3), 1:2), 1:4)
    answer(list(unlist(used), unlist(half), length(unlist(deep))))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1]], rep(1L, 4))
  expect_true(all(r$value[[2]] <= 4L))
  expect_identical(r$value[[3]], 24L)
})

test_that("_R_CHECK_LIMIT_CORES_ limits every way to workers", {
  r <- run_script({
    Sys.setenv("_R_CHECK_LIMIT_CORES_" = "TRUE")
    seen <- MapReduce(np = 8)$map(function(i) { Sys.sleep(0.02); Sys.getpid() }, 1:16)
    Sys.setenv("_R_CHECK_LIMIT_CORES_" = "false")
    more <- MapReduce(np = 8)$map(function(i) { Sys.sleep(0.2); Sys.getpid() }, 1:8)
    answer(c(length(unique(unlist(seen))), length(unique(unlist(more)))))
  })
  expect_script_ok(r)
  expect_lte(r$value[1], 2)
  expect_gt(r$value[2], 2)
})

test_that("GUI sessions that hang when forked are known: RStudio and Positron", {
  known <- sharedmem:::is_gui_session
  expect_true(known(gui = "RStudio"))
  expect_true(known(gui = "Positron"))
  expect_false(known(gui = "X11", env = c(HOME = "/")))
  expect_identical(known(gui = "unknown", env = c(POSITRON = "1")), interactive())
})

# ---- descriptors ----

with_descriptors <- function(n, code_lines) {
  f <- tempfile()
  writeLines(c(sprintf(".libPaths(%s)", paste(deparse(unique(c(library_of_package(), .libPaths()))), collapse = "")), "library(sharedmem)",
               code_lines), f)
  out <- system2("sh", c("-c", shQuote(sprintf("ulimit -n %d; exec %s --vanilla %s", n, shQuote(file.path(R.home("bin"), "Rscript")), f))),
                 stdout = TRUE, stderr = TRUE)
  unlink(f)
  out
}

test_that("600 workers work with 1024 descriptors, or there is an error that says so", {
  skip_on_cran()
  code <- c("fds <- function() length(list.files('/proc/self/fd'))", "a <- fds()",
            paste0("r <- tryCatch(unlist(MapReduce(np = %d)$map(function(i) { Sys.sleep(0.05); i }, 1:%d)), sharedmem_fork_error = ",
                   "function(e) conditionMessage(e))"),
            "cat('left', fds() - a, '\\n')", "cat(if (is.character(r)) r else if (identical(r, 1:%d)) 'right' else 'wrong', '\\n')")
  fill <- function(n) gsub("%d", n, code, fixed = TRUE)
  out <- with_descriptors(1024, fill("600"))
  expect_match(out, "^right|ulimit -n", all = FALSE)
  expect_match(out, "^left 0", all = FALSE)
})
