# Threaded sums, searchsorted and binary files against base R and numpy; arithmetic, which is base R's, through views.

section("Kernels", "numpy times itself.")
python <- numpy_python()
path <- tempfile()
close_to <- function(expected) function(v) is.null(v) || isTRUE(all.equal(as.vector(v), expected, tolerance = 1e-9))

for (n in size(c(1e5, 1e7, 1e8), c(1e5, 1e6))) {
  set.seed(2)
  x <- stats::runif(n)
  s <- copy(x)
  if (!is.null(python)) tofile(x, path)
  reduce <- function(what, np) function() .Call(sharedmem:::ffi_reduce_run, s, what, FALSE, np)
  summaries <- list(sum = list(0L, sum), mean = list(7L, mean), range = list(4L, range), prod = list(1L, prod))
  for (name in names(summaries)[if (n > 1e7) 1L else 1:4]) {
    f <- summaries[[name]][[2L]]
    work(sprintf("%s, %.0e doubles", name, n), c(list(
      `sharedmem, 2 threads` = reduce(summaries[[name]][[1L]], 2L), `sharedmem, 1 thread` = reduce(summaries[[name]][[1L]], 1L),
      `base R` = function() f(x)),
      if (name == "sum") list(numpy = numpy(python, path, "f8", "x.sum()"),
                              `limit: C, 2 threads` = floor_of(function() .Call(floors$sum, x, 2L)),
                              `limit: C, 1 thread` = floor_of(function() .Call(floors$sum, x, 1L)))),
      times = size(9L, 3L), budget = size(5, 0.3), check = close_to(f(x)), goal = if (n == 1e8) "<= 50 ms",
        met = function(m) m[[1L]] <= 0.05)
  }
  unlink(path)
}
rm(s, x)

for (n in size(c(1e5, 1e7), 1e5)) {
  x <- stats::runif(n)
  s <- copy(x)
  arith <- list(`x + x` = `+`, `x < x` = `<`, `sqrt(x)` = function(x, y) sqrt(x), `exp(x)` = function(x, y) exp(x))
  for (name in names(arith)) {
    f <- arith[[name]]
    work(sprintf("`%s`, %.0e doubles", name, n), list(sharedmem = function() f(s, s), `base R` = function() f(x, x)),
         check = close_to(f(x, x)), budget = size(4, 0.3))
  }
}
rm(s, x)

for (n in size(c(1e5, 1e7), 1e5)) for (kind in c("random", "sorted")) {
  set.seed(3)
  x <- sort(stats::runif(n))
  q <- stats::runif(size(1e6, 1e5))
  if (kind == "sorted") q <- sort(q)
  if (!is.null(python)) tofile(c(x, q), path)
  work(sprintf("searchsorted: %.0e %s needles in %.0e", length(q), kind, n), list(
    `sharedmem, 2 threads` = function() searchsorted(x, q, "right", np = 2),
    `sharedmem, 1 thread` = function() searchsorted(x, q, "right", np = 1),
    `findInterval()` = function() findInterval(q, x) + 1,
    numpy = numpy(python, path, "f8", sprintf("np.searchsorted(x[:%.0f], x[%.0f:], 'right')", n, n))),
    check = close_to(findInterval(q, x) + 1), budget = size(4, 0.3))
  unlink(path)
}
rm(x, q)

n <- size(1e8, 5e6)
text <- sprintf("%.0f MB in the page cache", n * 8e-6)
x <- copy(stats::runif(n))
tofile(x, path)
last <- x[n]
program <- build_c("bench/fromfile_floor.c")
floor_ms <- function(threads, kind) if (is.null(program)) absent("no C compiler") else function() {
  out <- strsplit(system2(program, c(path, threads, 1), stdout = TRUE), " ")
  own_time(as.numeric(Filter(function(p) p[1L] == kind, out)[[1L]][2L]) / 1e3)
}
work(paste("fromfile,", text), list(
  `sharedmem, 2 threads` = function() fromfile(path, np = 2),
  `sharedmem, 1 thread` = function() fromfile(path, np = 1),
  `readBin()` = function() readBin(path, "double", n),
  ff = peer("ff", function() ff::ff(filename = path, vmode = "double", length = n, readonly = TRUE)[]),
  numpy = numpy(python, path, NULL, sprintf("np.fromfile('%s')", path)),
  `limit: pread into fresh shared memory, 2 threads` = floor_ms(2, "fresh"),
  `limit: the same, huge pages` = floor_ms(2, "huge"),
  `limit: the same, 1 thread` = floor_ms(1, "fresh")),
  check = function(v) is.null(v) || v[n] == last, budget = size(8, 1),
  goal = "<= 1.2 of the limit", met = function(m) m[[1L]] <= 1.2 * m[["limit: pread into fresh shared memory, 2 threads"]])
v <- x[]
work(paste("tofile,", text), list(
  `sharedmem, 2 threads` = function() tofile(x, path, np = 2), `writeBin()` = function() writeBin(v, path)),
  budget = size(8, 1))
unlink(path)
