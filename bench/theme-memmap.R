# Reductions, searches and arithmetic on a mapped file, beside a C program that reads the same file.

n <- size(1e8, 2e6)
section("Mapped files", paste(
  "A file of doubles in the page cache. Each turn maps it anew, so that page faults count; the C programs read it in blocks that stay in",
  "the processor's cache, or map it. NumPy maps it, too, and times itself."))
file <- tempfile()
x <- empty(n)
for (at in seq(1, n, by = 1e6)) x[at:min(n, at + 1e6 - 1)] <- sqrt(at:min(n, at + 1e6 - 1)) # ascending
tofile(x, file)
total <- sum(x)
last <- x[n]
rm(x)
text <- sprintf("%.0f MB", n * 8 / 1e6)
python <- numpy_python()
mapped <- function(f, ...) function() f(memmap(file), ...)
c_program <- function(threads, how) floor_of(function() {
  r <- .Call(floors$sum_file, file, threads, how)
  own_time(r[2L], r[1L])
})
of_numpy <- function(code) numpy(python, file, NULL, sprintf("x=np.memmap('%s','f8','r')\n%s", file, code))
held <- function(m) m[[1L]] <= 1.2 * min(m[startsWith(names(m), "a C program")])
close_to <- function(value) function(v) is.null(v) || abs(v - value) <= 1e-9 * abs(value)

work(paste("sum,", text), list(
  sharedmem = mapped(sum),
  `a C program, blocks, 2 threads` = c_program(2L, 0L),
  `a C program, blocks` = c_program(1L, 0L),
  `a C program, mapped, 2 threads` = c_program(2L, 1L),
  `numpy.memmap` = of_numpy("x.sum()"),
  `base: sum(readBin())` = function() sum(readBin(file, "double", n))),
  check = close_to(total), goal = "<= 1.2 of the C programs", met = held)
for (f in c("min", "max", "mean", "prod")) work(sprintf("%s, %s", f, text), list(
  sharedmem = mapped(get(f)),
  `a C program that sums, blocks, 2 threads` = c_program(2L, 0L),
  `a C program that sums, blocks` = c_program(1L, 0L),
  `numpy.memmap` = of_numpy(sprintf("x.%s()", f)),
  `base: of readBin()` = function() get(f)(readBin(file, "double", n))),
  goal = "<= 1.2 of the C programs", met = held, times = size(5L, 2L), budget = size(10, 1))
work(sprintf("range, %s", text), list(
  sharedmem = mapped(range),
  `a C program that sums, blocks, 2 threads` = c_program(2L, 0L),
  `base: of readBin()` = function() range(readBin(file, "double", n))), goal = "<= 1.2 of the C programs", met = held, times = size(5L, 2L))

needles <- last * ((seq_len(size(1e6, 1e4)) * 0.7548776662) %% 1)
values <- readBin(file, "double", n)
right <- findInterval(needles, values, left.open = TRUE) + 1
work(sprintf("searchsorted of %.0e needles", length(needles)), list(
  sharedmem = mapped(searchsorted, needles),
  `numpy.memmap` = of_numpy(sprintf("np.searchsorted(x,%.17g*((np.arange(1,%.0f)*0.7548776662)%%1))", last, length(needles) + 1)),
  `base: findInterval()` = function() findInterval(needles, values, left.open = TRUE) + 1),
  check = function(v) is.null(v) || all(v == right))
work(paste("x + 1,", text), list(
  sharedmem = mapped(`+`, 1),
  `base: of a vector in memory` = function() values + 1,
  `numpy.memmap` = of_numpy("y=x+1")),
  check = function(v) is.null(v) || v[n] == last + 1, times = size(5L, 2L))

# small ones: never slower than base R, which has them in memory
for (k in c(10, 1e3, 1e5)) {
  small <- tempfile()
  tofile(as_shared(values[seq_len(k)]), small)
  m <- memmap(small)
  v <- values[seq_len(k)]
  times <- size(round(3e6 / (k + 1e3)), 50)
  for (f in c("sum", "min")) {
    g <- get(f)
    work(sprintf("%.0f x %s of %.0e", times, f, k), list(
      sharedmem = repeatedly(times, function() g(m)),
      base = repeatedly(times, function() g(v))))
  }
}
unlink(file)
