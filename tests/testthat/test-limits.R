# Limits of the machine, the session and its sandbox: each is an R error that says which, or a detour.

# R code in a process of its own, after shell code and under a command; gives what R printed and its status.
limited <- function(before, code, under = "", timeout = 60) {
  lib <- paste(unique(c(library_of_package(), .libPaths())), collapse = ":")
  line <- sprintf("%s; R_LIBS=%s timeout %d %s %s --vanilla -e %s 2>&1", before, shQuote(lib), timeout, under,
                  shQuote(file.path(R.home("bin"), "Rscript")),
                  shQuote(paste0("suppressPackageStartupMessages(library(sharedmem)); ", code)))
  out <- suppressWarnings(system2("bash", c("-c", shQuote(line)), stdout = TRUE))
  list(out = out, status = if (is.null(attr(out, "status"))) 0L else attr(out, "status"))
}

test_that("an array past the limit of file sizes is an error that names it, and no signal", {
  skip_under_sanitizer()
  r <- limited("ulimit -f 2000", paste(
    "e <- tryCatch(empty(1e6), error = identity); cat(class(e)[1], e$asked, e$available,",
    "grepl('ulimit -f', conditionMessage(e)), fill = TRUE);",
    "e <- tryCatch(copy(runif(1e6)), error = identity); cat(class(e)[1], fill = TRUE);",
    "f <- tempfile(); e <- tryCatch(tofile(runif(1e6), f), error = identity); cat(class(e)[1], file.exists(f), fill = TRUE);",
    "e <- tryCatch(memmap(f, 'f8', 1e6, 'w+'), error = identity); cat(class(e)[1], file.exists(f), fill = TRUE);",
    "x <- empty(1e5); x[] <- 1; cat(sum(x), fill = TRUE)"))
  expect_identical(r$status, 0L)
  expect_identical(r$out, c("sharedmem_memory_error 8e+06 2048000 TRUE", "sharedmem_memory_error", "sharedmem_file_error FALSE",
                            "sharedmem_file_error FALSE", "1e+05"))
})

test_that("results past the limit of file sizes come, or are an error of the map", {
  skip_under_sanitizer()
  r <- limited("ulimit -f 2000", paste(
    "f <- function(v) { Sys.sleep(0.2); length(v) };",
    "r <- tryCatch(unlist(MapReduce(np = 2)$map(function(i) runif(2e6), 1:4, reduce = f)), error = function(e) class(e)[1]); cat(r)"))
  expect_identical(r$status, 0L)
  expect_true(r$out %in% c("2e+06 2e+06 2e+06 2e+06", "WorkerException"))
})

test_that("a trace past the limit of file sizes is an error that names it, and no signal", {
  skip_under_sanitizer()
  r <- limited("ulimit -f 200", paste(
    "P <- MapReduce(np = 1, trace = TRUE); r <- P$map(sqrt, 1:5000); f <- tempfile();",
    "e <- tryCatch(write_trace(P$trace, f), error = identity);",
    "cat(class(e)[1], grepl('ulimit -f', conditionMessage(e)), file.exists(f))"))
  expect_identical(r, list(out = "sharedmem_file_error TRUE FALSE", status = 0L))
})

test_that("many arrays leave the low descriptors to others, and the soft limit is no end", {
  skip_under_sanitizer()
  code <- paste(
    "l <- lapply(1:1500, function(k) empty(5000));",
    "low <- as.integer(list.files('/proc/self/fd')); cat(sum(low < 1024) < 100, fill = TRUE);",
    "r <- parallel::mclapply(1:2, identity, mc.cores = 2); cat(unlist(r), fill = TRUE); l[[1500]][] <- 1; cat(sum(l[[1500]]))")
  skip_if_not(file.exists("/proc/self/fd"))
  hard <- suppressWarnings(as.numeric(system("ulimit -Hn", intern = TRUE)))
  skip_if(!is.na(hard) && hard < 4096)
  r <- limited("ulimit -Sn 1024", code)
  expect_identical(r$status, 0L)
  expect_identical(r$out, c("TRUE", "1 2", "5000"))
})

test_that("where descriptors are few for good, arrays of some kilobytes share segments", {
  skip_under_sanitizer()
  r <- limited("ulimit -n 1024", paste(
    "d <- copy(as.data.frame(matrix(0, 5000, 1200))); d[[1200]][] <- 2; x <- d[[600]];",
    "r <- MapReduce(np = 2)$map(function(i) { x[i] <- i; NULL }, 1:2); cat(dim(d), sum(d[[1200]]), sum(x), sum(d[[599]]))"))
  expect_identical(r$status, 0L)
  expect_identical(r$out, "5000 1200 10000 3 0")
})

test_that("no descriptor to be had is an error that names the limit", {
  skip_under_sanitizer()
  r <- limited("ulimit -n 300", paste(
    "e <- tryCatch(lapply(1:1e5, function(k) empty(2^20, 'u1')), error = identity);",
    "cat(class(e)[1], grepl('ulimit -n', conditionMessage(e)), fill = TRUE); gc() -> g; x <- empty(1e6); cat(length(x))"))
  expect_identical(r$status, 0L)
  expect_identical(r$out, c("sharedmem_memory_error TRUE", "1000000"))
})

test_that("a worker that has used up its processor time is told with that limit", {
  skip_under_sanitizer()
  skip_if_not(file.exists("/proc/self/limits"))
  r <- limited("ulimit -t 20", paste(
    "e <- tryCatch(MapReduce(np = 2)$map(function(i) tools::pskill(Sys.getpid(), 9), 1), error = identity);",
    "cat(grepl('limit of 20 s of processor time (ulimit -t)', conditionMessage(e), fixed = TRUE))"))
  expect_identical(r$out, "TRUE")
  none <- limited("true", paste(
    "e <- tryCatch(MapReduce(np = 2)$map(function(i) tools::pskill(Sys.getpid(), 9), 1), error = identity);",
    "cat(grepl('out of memory', conditionMessage(e)), grepl('processor time', conditionMessage(e)))"))
  expect_identical(none$out, "TRUE FALSE")
})

test_that("address space that is limited is an error that names it", {
  skip_under_sanitizer()
  r <- limited("ulimit -v 2000000", "e <- tryCatch(empty(4e8), error = identity); cat(class(e)[1], e$asked); x <- empty(1e6)")
  expect_identical(r$status, 0L)
  expect_identical(r$out, "sharedmem_memory_error 3.2e+09")
})

test_that("where memfd_create, shm_open or fallocate are refused, the next best way is taken", {
  skip_under_sanitizer()
  skip_if(!nzchar(Sys.which("strace")), "no strace")
  code <- paste(
    "x <- empty(1e5); x[] <- 1; y <- copy(runif(1e5)); l <- lapply(1:3, function(i) empty(10));",
    "r <- MapReduce(np = 2)$map(function(i) { x[i] <- i; z <- empty(1e5); z[] <- i; z }, 1:4);",
    "cat(sum(x), sapply(r, sum), length(l[[1]]), sum(MapReduce(np = 2)$map(function(i) runif(3e6) > 2, 1:2)[[1]]), fill = TRUE)")
  expected <- "100006 1e+05 2e+05 3e+05 4e+05 10 0"
  inject <- function(...) paste(sprintf("-e inject=%s", c(...)), collapse = " ")
  for (how in list(inject("memfd_create:error=ENOSYS"), inject("memfd_create:error=EPERM"), inject("fallocate:error=EOPNOTSUPP"),
                   inject("memfd_create:error=ENOSYS", "fallocate:error=ENOSYS"))) {
    out <- limited(":", code, paste("strace -f -o /dev/null -e trace=memfd_create,fallocate", how))$out
    skip_if(any(grepl("ptrace|PTRACE", out)), "strace may not trace here")
    expect_identical(out, expected, label = how)
  }
})

# Calls code(directory) where the directory is a small file system; skips where none can be mounted.
on_small_disk <- function(size, code) {
  dir <- tempfile("disk")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  quiet <- function(command, ...) suppressWarnings(system2(command, c(..., shQuote(dir)), stdout = FALSE, stderr = FALSE))
  skip_if(quiet("mount", "-t", "tmpfs", "-o", paste0("size=", size), "tmpfs") != 0, "no file system can be mounted")
  on.exit(quiet("umount", "-l"), add = TRUE, after = FALSE)
  code(dir)
}

test_that("a full disk is an error that says so, leaves old files whole and no new ones", on_small_disk("16m", function(dir) {
  at <- function(name) file.path(dir, name)
  expect_full <- function(expr) expect_error(expr, "No space left|full", class = "sharedmem_file_error")
  big <- full(4e6, 1)
  half <- full(1.2e6, 1)
  for (name in c("new", "new.npy")) expect_full(memmap(at(name), "f8", 1e7, "w+"))
  expect_full(tofile(big, at("new")))
  expect_full(write_npy(big, at("new.npy")))
  expect_identical(list.files(dir, all.files = TRUE, no.. = TRUE), character())
  writeBin(1:100 + 0, at("old"))
  write_npy(1:3 + 0, at("old.npy"))
  for (name in c("old", "old.npy")) expect_full(memmap(at(name), "f8", 1e7, "w+"))
  expect_full(tofile(big, at("old")))
  expect_full(write_npy(big, at("old.npy")))
  expect_identical(readBin(at("old"), "double", 101), 1:100 + 0)
  expect_identical(read_npy(at("old.npy"))[], 1:3 + 0)
  tofile(half, at("half")) # fits once, beside its successor not
  expect_full(tofile(full(1.2e6, 2), at("half")))
  expect_identical(fromfile(at("half"))[], half[])
  expect_setequal(list.files(dir, all.files = TRUE, no.. = TRUE), c("old", "old.npy", "half"))
}))

test_that("a trace that finds the disk full is an error, and no file cut short", on_small_disk("64k", function(dir) {
  pool <- MapReduce(np = 1, trace = TRUE)
  pool$map(sqrt, 1:2000)
  expect_error(write_trace(pool$trace, file.path(dir, "trace.json")), "No space left|full", class = "sharedmem_file_error")
  expect_identical(list.files(dir, all.files = TRUE, no.. = TRUE), character())
}))

test_that("writing into the holes of a mapped file on a full disk is an error here and in a worker", on_small_disk("16m", function(dir) {
  path <- file.path(dir, "sparse")
  con <- file(path, "wb")
  seek(con, 8e6 * 8 - 8, rw = "write")
  writeBin(1, con)
  close(con)
  x <- memmap(path, "f8", 8e6, "r+")
  expect_error(x[] <- 2, "full", class = "sharedmem_file_error")
  e <- expect_error(MapReduce(np = 2)$map(function(i) x[i * 1e6] <- 3, 1:7), class = "WorkerException")
  expect_s3_class(e$reason, "sharedmem_file_error")
  expect_identical(x[8e6], 1)
}))

# Calls code(shell code that enters the group) where a group of processes may have so many bytes; skips where none can be made.
in_memory_group <- function(bytes, code) {
  skip_if(!dir.exists("/sys/fs/cgroup"), "no control groups")
  old <- dir.exists("/sys/fs/cgroup/memory")
  dir <- file.path(if (old) "/sys/fs/cgroup/memory" else "/sys/fs/cgroup", sprintf("sharedmem-test-%d", Sys.getpid()))
  dir.create(dir, showWarnings = FALSE)
  on.exit(suppressWarnings(system2("rmdir", shQuote(dir), stdout = FALSE, stderr = FALSE)))
  limit <- file.path(dir, if (old) "memory.limit_in_bytes" else "memory.max")
  set <- sprintf("echo %.0f > %s", bytes, shQuote(limit))
  made <- file.exists(limit) && system2("bash", c("-c", shQuote(set)), stdout = FALSE, stderr = FALSE) == 0
  skip_if(!made, "no group with a limit can be made")
  code(sprintf("echo $$ > %s", shQuote(file.path(dir, "cgroup.procs"))))
}

test_that("where a control group limits memory, arrays past it are an error, and a worker that is killed for it is named", {
  skip_under_sanitizer()
  in_memory_group(4e8, function(enter) {
    r <- limited(enter, paste(
      "e <- tryCatch(empty(2e8), sharedmem_memory_error = identity); cat(class(e)[1], fill = TRUE);",
      "x <- empty(1e6); x[] <- 1; cat(sum(x), fill = TRUE);",
      "big <- function(i) if (i == 3) { v <- numeric(1e8); v[] <- 1; v[1] } else i;",
      "e <- tryCatch(MapReduce(np = 2)$map(big, 1:6), WorkerException = identity);",
      "cat(e$item, grepl('SIGKILL', conditionMessage(e)), fill = TRUE);",
      "r <- MapReduce(np = 2, on_error = 'collect')$map(big, 1:6); cat(which(vapply(r, inherits, NA, 'WorkerException')), fill = TRUE);",
      "cat(unlist(MapReduce(np = 2)$map(function(i) i, 1:4)))"))
    expect_identical(r, list(out = c("sharedmem_memory_error", "1e+06", "3 TRUE", "3", "1 2 3 4"), status = 0L))
  })
})

test_that("a small array has a file of its own where common ones are too long for the limit", {
  skip_under_sanitizer()
  r <- limited("ulimit -f 100", "x <- empty(200); x[3] <- 5; y <- copy(letters); cat(x[3], y[2], atomic_add(x, 1, 2), length(x))")
  expect_identical(r, list(out = "5 b 2 200", status = 0L))
})
