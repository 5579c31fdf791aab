# argsort() against data.table's forderv, order(method = "radix") and numpy's stable argsort, from 10^3 to 10^8 elements.

section("argsort", paste0("numpy times itself. The limit is one pass over the values by 2 threads that writes an integer for each into ",
                          "fresh pages."))

inputs <- list(
  `random doubles` = function(n) stats::runif(n),
  `normal doubles` = function(n) stats::rnorm(n),
  `random integers` = function(n) as.integer(stats::runif(n, -2^31 + 1, 2^31 - 1)),
  `1000 distinct integers` = function(n) sample.int(1000L, n, TRUE),
  `1000 distinct doubles` = function(n) sample.int(1000L, n, TRUE) / 8,
  `sorted doubles` = function(n) as.double(seq_len(n)) / 2,
  `reversed doubles` = function(n) as.double(n:1) / 2,
  `nearly sorted doubles` = function(n) {
    x <- as.double(seq_len(n))
    i <- sample.int(n, max(1, n %/% 100))
    x[i] <- stats::runif(length(i), 0, n)
    x
  },
  `1000 distinct strings` = function(n) sample(sprintf("key%d", 1:1000), n, TRUE),
  `distinct strings` = function(n) sprintf("id_%09d", sample.int(n)))
goals <- list(`random doubles` = 0.2, `random integers` = 0.17, `sorted doubles` = 0.02, `1000 distinct integers` = 0.07)
python <- numpy_python()

with_table <- function(threads, f) peer("data.table", function() {
  data.table::setDTthreads(threads)
  f()
})

sort_work <- function(name, n) {
  set.seed(1)
  x <- inputs[[name]](n)
  # small ones are over in microseconds: the time is of 200 in a row, per sort
  many <- if (n >= 1e5) identity else function(f) function() {
    start <- now()
    for (k in 1:200) value <- f()
    own_time((now() - start) / 200, value)
  }
  in_order <- function(p) {
    if (is.null(p)) return(TRUE)
    if (!length(p)) return(identical(name, "sorted doubles"))     # forderv's way to say "sorted already"
    length(p) == n && !is.unsorted(x[p[at]])
  }
  at <- sort(sample.int(n, min(n, 1e5)))
  path <- tempfile()
  on.exit(unlink(path))
  try_numpy <- is.numeric(x) && (n < 1e7 || n == 1e7 && name %in% names(goals)) && !is.null(python)
  if (try_numpy) tofile(x, path)
  goal <- if (n == 1e7) goals[[name]]
  first <- function(m) m[[1L]] <= min(m[!is_ours(names(m)) & !is_limit(names(m))], na.rm = TRUE)
  work(sprintf("%s, %.0e", name, n), list(
    `sharedmem, 2 threads` = many(function() argsort(x, np = 2)),
    `sharedmem, 1 thread` = many(function() argsort(x, np = 1)),
    `order(method = "radix")` = many(function() order(x, method = "radix")),
    `forderv, 2 threads` = with_table(2L, many(function() data.table:::forderv(x, retGrp = FALSE))),
    `forderv, 1 thread` = with_table(1L, many(function() data.table:::forderv(x, retGrp = FALSE))),
    `numpy, stable` = if (is.null(python)) absent("numpy is not installed")
                      else if (try_numpy) numpy(python, path, if (is.integer(x)) "i4" else "f8", "np.argsort(x, kind='stable')"),
    `limit: one pass, 2 threads` = if (n >= 1e7 && is.numeric(x)) timed_floor("pass", x, 2L)),
    check = in_order, times = if (n > 1e7) 3L else size(7L, 2L), budget = size(if (n > 1e7) 8 else 6, 0.5),
    goal = if (is.null(goal)) "first" else sprintf("<= %.0f ms, first", 1e3 * goal),
    met = function(m) first(m) && (is.null(goal) || m[[1L]] <= goal))
}

for (n in size(c(1e3, 1e5, 1e7, 1e8), c(1e3, 1e5, 1e6))) for (name in names(inputs)) {
  if (n > 1e6 && name == "distinct strings") next                # making them takes longer than sorting them
  if (n > 1e7 && !name %in% names(goals)) next
  if (quick && !name %in% c("random doubles", "sorted doubles", "1000 distinct strings")) next
  sort_work(name, n)
  gc()
}
