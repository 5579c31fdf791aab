# argsort, searchsorted, fromfile and sums against what R users have: all contenders interleaved in one run,
# median of 5 repeats (the least beside it: the machine may have other work), milliseconds.
#
#   Rscript bench/kernels.R [full] [n=1e7] [argsort|sum|fromfile|search|arith]...
#
# full: sizes to 10^8 (needs 6 GB); else to 10^7; n=: of these only that one. data.table and python3 with numpy (PYTHON in
# the environment: its path) take part where they are installed.

suppressMessages(library(sharedmem))
args <- commandArgs(TRUE)
full <- "full" %in% args
only <- as.numeric(sub("^n=", "", grep("^n=", args, value = TRUE)))
wanted <- grep("^(full|n=.*)$", args, invert = TRUE, value = TRUE)
of <- function(sizes) if (length(only)) intersect(sizes, only) else sizes
want <- function(part) !length(wanted) || part %in% wanted
repeats <- 5

has_table <- requireNamespace("data.table", quietly = TRUE)
pythons <- c(Sys.getenv("PYTHON"), Sys.which(c("python3", "python")), "/usr/bin/python3")
works <- function(p) nzchar(p) && suppressWarnings(system2(p, c("-c", shQuote("import numpy")), stderr = FALSE)) == 0
python <- Find(works, unique(pythons))
has_numpy <- !is.null(python)
cat(sprintf("%s, %d processors; data.table: %s; numpy: %s\n", R.version.string, cpu_count(),
            if (has_table) format(packageVersion("data.table")) else "missing",
            if (has_numpy) "there" else "missing"))

ms <- function(expr) {
  t0 <- Sys.time()
  force(expr)
  as.numeric(Sys.time() - t0, units = "secs") * 1e3
}

# Functions of no argument that give NULL after timing nothing else: list(name = function() ...). A contender may time
# itself by giving a number.
race <- function(title, contenders) {
  times <- lapply(contenders, function(f) numeric())
  for (r in seq_len(repeats)) for (name in names(contenders)) {
    gc(FALSE)
    own <- NULL
    t <- ms(own <- contenders[[name]]())
    times[[name]] <- c(times[[name]], if (inherits(own, "own_time")) unclass(own) else t)
  }
  cat(sprintf("%-34s", title))
  for (name in names(times)) cat(sprintf(" | %s %.*f (%.*f)", name, if (median(times[[name]]) < 10) 3 else 0, median(times[[name]]),
                                         if (median(times[[name]]) < 10) 3 else 0, min(times[[name]])))
  cat("\n")
  invisible(vapply(times, median, 0))
}
own_time <- function(x) structure(x, class = "own_time")

# numpy runs `code` on what lies in `path` and prints its milliseconds.
numpy <- function(path, type, code) function() {
  program <- sprintf("import numpy as np, time\nx=np.fromfile('%s','%s')\nt=time.perf_counter()\n%s\nprint((time.perf_counter()-t)*1e3)", path, type, code)
  own_time(as.numeric(system2(python, c("-c", shQuote(program)), stdout = TRUE)))
}

inputs <- list(
  "random doubles" = function(n) runif(n),
  "normal doubles" = function(n) rnorm(n),
  "random integers" = function(n) as.integer(runif(n, -2^31 + 1, 2^31 - 1)),
  "1000 distinct integers" = function(n) sample.int(1000L, n, TRUE),
  "1000 distinct doubles" = function(n) sample.int(1000L, n, TRUE) / 8,
  "sorted doubles" = function(n) as.double(seq_len(n)) / 2,
  "reversed doubles" = function(n) as.double(n:1) / 2,
  "nearly sorted doubles" = function(n) { x <- as.double(seq_len(n)); i <- sample.int(n, max(1, n %/% 100)); x[i] <- runif(length(i), 0, n); x },
  "1000 distinct strings" = function(n) sample(sprintf("key%d", 1:1000), n, TRUE),
  "distinct strings" = function(n) sprintf("id_%09d", sample.int(n)))

if (want("argsort")) for (n in of(c(1e3, 1e5, 1e7, if (full) 1e8))) {
  cat(sprintf("\nargsort, n = %.0e\n", n))
  for (name in names(inputs)) {
    if (n > 1e6 && name == "distinct strings") next
    if (n > 1e7 && !name %in% c("random doubles", "random integers", "sorted doubles", "1000 distinct integers")) next
    set.seed(1)
    x <- inputs[[name]](n)
    many <- function(f) if (n >= 1e5) f else function() { t <- ms(for (k in 1:200) f()) / 200; own_time(t) }
    contenders <- list("ours, 2" = many(function() argsort(x, np = 2)), "ours, 1" = many(function() argsort(x, np = 1)),
                       "order" = many(function() order(x, method = "radix")))
    if (has_table) {
      forder <- function(threads) {
        f <- many(function() data.table:::forderv(x, retGrp = FALSE))
        function() { data.table::setDTthreads(threads); f() }
      }
      contenders <- c(contenders, list("forder, 2" = forder(2), "forder, 1" = forder(1)))
    }
    path <- tempfile()
    if (has_numpy && is.numeric(x) && n <= 1e7) {
      tofile(x, path)
      contenders[["numpy"]] <- numpy(path, if (is.integer(x)) "i4" else "f8", "np.argsort(x, kind='stable')")
    }
    race(name, contenders)
    unlink(path)
  }
}

if (want("sum")) for (n in of(c(1e5, 1e7, if (full) 1e8))) {
  cat(sprintf("\nreductions of doubles, n = %.0e\n", n))
  set.seed(2)
  x <- runif(n)
  s <- copy(x)
  reduce <- function(what, np) function() .Call(sharedmem:::ffi_reduce_run, s, what, FALSE, np)
  path <- tempfile()
  contenders <- list("ours, 2" = reduce(0L, 2L), "ours, 1" = reduce(0L, 1L), "R" = function() sum(x))
  if (has_numpy) {
    tofile(x, path)
    contenders[["numpy"]] <- numpy(path, "f8", "x.sum()")
  }
  race("sum", contenders)
  unlink(path)
  race("mean", list("ours, 2" = reduce(7L, 2L), "ours, 1" = reduce(7L, 1L), "R" = function() mean(x)))
  race("range", list("ours, 2" = reduce(4L, 2L), "ours, 1" = reduce(4L, 1L), "R" = function() range(x)))
  race("prod", list("ours, 2" = reduce(1L, 2L), "ours, 1" = reduce(1L, 1L), "R" = function() prod(x)))
  rm(s)
}

if (want("arith")) for (n in of(c(1e5, 1e7))) {
  cat(sprintf("\narithmetic on doubles, n = %.0e\n", n))
  x <- runif(n)
  s <- copy(x)
  combine <- function(op, np) function() .Call(sharedmem:::ffi_arith_combine, op, s, s, np)
  apply_fn <- function(fn, np) function() .Call(sharedmem:::ffi_arith_apply, fn, s, np)
  race("x + x", list("ours, 2" = combine(0L, 2L), "ours, 1" = combine(0L, 1L), "R" = function() x + x))
  race("x < x", list("ours, 2" = combine(6L, 2L), "ours, 1" = combine(6L, 1L), "R" = function() x < x))
  race("sqrt(x)", list("ours, 2" = apply_fn(0L, 2L), "ours, 1" = apply_fn(0L, 1L), "R" = function() sqrt(x)))
  race("exp(x)", list("ours, 2" = apply_fn(1L, 2L), "ours, 1" = apply_fn(1L, 1L), "R" = function() exp(x)))
}

if (want("search")) for (n in of(c(1e5, 1e7))) {
  cat(sprintf("\nsearchsorted, %.0e sorted doubles, 10^6 needles\n", n))
  set.seed(3)
  x <- sort(runif(n))
  for (kind in c("random", "sorted")) {
    q <- runif(1e6)
    if (kind == "sorted") q <- sort(q)
    path <- tempfile()
    contenders <- list("ours, 2" = function() searchsorted(x, q, "right", np = 2), "ours, 1" = function() searchsorted(x, q, "right", np = 1),
                       "findInterval" = function() findInterval(q, x))
    if (has_numpy) {
      tofile(c(x, q), path)
      contenders[["numpy"]] <- numpy(path, "f8", sprintf("np.searchsorted(x[:%d], x[%d:], 'right')", as.integer(n), as.integer(n)))
    }
    race(paste(kind, "needles"), contenders)
    unlink(path)
  }
}

if (want("fromfile")) {
  n <- if (full) 1e8 else 2e7
  cat(sprintf("\nfromfile, %.0f MB in the page cache\n", n * 8 / 1e6))
  path <- tempfile()
  tofile(runif(n), path)
  floor_at <- tempfile("floor")
  here <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])
  built <- system2(Sys.which("cc"), c("-O2", "-pthread", "-o", floor_at, file.path(dirname(here), "fromfile_floor.c"))) == 0
  floor_ms <- function(threads, kind) function() {
    out <- strsplit(system2(floor_at, c(path, threads, 1), stdout = TRUE), " ")
    own_time(as.numeric(Filter(function(p) p[1L] == kind, out)[[1L]][2L]))
  }
  contenders <- list("ours, 2" = function() { fromfile(path, np = 2); NULL }, "ours, 1" = function() { fromfile(path, np = 1); NULL },
                     "readBin" = function() { readBin(path, "double", n); NULL })
  if (built) contenders <- c(contenders, list("floor, 2" = floor_ms(2, "fresh"), "floor, huge pages, 2" = floor_ms(2, "huge"), "floor, 1" = floor_ms(1, "fresh")))
  if (has_numpy) contenders[["numpy"]] <- function() {
    program <- sprintf("import numpy as np, time\nt=time.perf_counter()\nx=np.fromfile('%s')\nprint((time.perf_counter()-t)*1e3)", path)
    own_time(as.numeric(system2(python, c("-c", shQuote(program)), stdout = TRUE)))
  }
  race("fromfile", contenders)
  x <- copy(runif(n))
  race("tofile", list("ours, 2" = function() { tofile(x, path, np = 2); NULL }, "writeBin" = function() writeBin(x[], path)))
  unlink(c(path, floor_at))
}
