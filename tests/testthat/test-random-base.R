# Random sessions beside base R: several ways into the same memory (handles of other shapes, views, handles that came by
# serialize(), maps of one file that overlap) are read, assigned to from one another, computed with, sorted and summed up, and
# an ordinary vector beside them tells what must be there.
#
# SHAREDMEM_SOAK: seconds to go on, 4 by default. A session that differs prints its seed: random_session(seed) runs it again.

pools <- list(
  f8 = function(n) sample(c(rnorm(5), NA, NaN, Inf, -Inf, 0), n, TRUE), f4 = function(n) sample(c(0.5, -2.25, NA, NaN, Inf, 16777216),
    n, TRUE),
  i1 = function(n) sample(-128:127, n, TRUE), i2 = function(n) sample(-32768:32767, n, TRUE),
  i4 = function(n) sample(c(NA, -.Machine$integer.max, 5L, 0L, 7L, .Machine$integer.max), n, TRUE),
  i8 = function(n) sample(c(-2^53 + 1, -1, 0, 7, 2^53 - 1), n, TRUE), u1 = function(n) sample(0:255, n, TRUE),
  u2 = function(n) sample(0:65535, n, TRUE), u4 = function(n) sample(c(0, 1, 2^31, 2^32 - 1), n, TRUE),
  c16 = function(n) sample(c(1i, 2 + 3i, NA, complex(real = NaN, imaginary = 1)), n, TRUE),
  b1 = function(n) sample(c(TRUE, FALSE, NA), n, TRUE), raw = function(n) as.raw(sample(0:255, n, TRUE)),
  S6 = function(n) sample(c("", "a", "caf\u00e9", "12345", "z", NA), n, TRUE))
extra_bytes <- c(f8 = 8, f4 = 4, i1 = 1, i2 = 2, i4 = 4, i8 = 8, u1 = 1, u2 = 2, u4 = 4, c16 = 16, b1 = 1, raw = 1, S6 = 6)

# The memory of a session: `ref` holds its n values, each way in is list(x, at, dim, write): x shows ref[at].
open_memory <- function(code, file) {
  n <- sample(c(1L, 2L, 6L, 12L, 24L, 60L, 1200L, 3000L, 120000L), 1L, prob = c(rep(1, 8), 0.2))
  ref <- pools[[code]](n)
  mapped <- runif(1) < 0.4
  if (mapped) {
    writeBin(raw(n * extra_bytes[[code]]), file)
    x <- memmap(file, code, n, "r+")
  } else {
    x <- empty(n, code)
  }
  x[] <- ref
  ways <- list(list(x = x, at = seq_len(n), write = TRUE))
  way <- function(x, at, write = TRUE) ways[[length(ways) + 1L]] <<- list(x = x, at = at, write = write)
  if (n >= 6) {
    y <- x
    dim(y) <- if (n %% 3 == 0 && runif(1) < 0.5) c(2, 3, n / 6) else c(n / 2, 2)
    way(y, seq_len(n))
    dimnames(y) <- c(list(paste0("r", seq_len(nrow(y)))), rep(list(NULL), length(dim(y)) - 1L))
    way(y, seq_len(n))
  }
  part <- sort(sample.int(n, 2L, TRUE))
  for (span in list(c(1L, n), part)) ways[[length(ways) + 1L]] <- list(of = x, span = span, at = span[1L]:span[2L], write = FALSE)
  if (mapped) {
    way(memmap(file, code, n, "r+"), seq_len(n))
    way(memmap(file, code, n - part[1L] + 1L, "r+", offset = (part[1L] - 1) * extra_bytes[[code]]), part[1L]:n)
  } else {
    way(unserialize(serialize(x, NULL)), seq_len(n))
    names(x) <- paste0("n", seq_len(n))
    way(x, seq_len(n))
  }
  list(code = code, ref = ref, ways = ways)
}

# What a way in shows, as an ordinary vector of its own.
shown <- function(m, w) {
  v <- m$ref[w$at]
  dim(v) <- dim(w$x)
  if (is.null(dim(v))) names(v) <- names(w$x)
  else dimnames(v) <- dimnames(w$x)
  v
}

random_index <- function(n, nm, write) {
  some <- function(k = sample(0:8, 1L)) sample.int(n, k, TRUE)
  switch(sample(c("all", "some", "zeros", "minus", "lgl", "short", "back", "run", "dbl", if (!write) "na", if (!is.null(nm)) "name",
    "shared", "view"), 1L),
         all = quote(expr = ), some = some(), zeros = sample(c(some(), 0L)), minus = -some(), lgl = sample(c(TRUE, FALSE), n, TRUE),
         short = sample(c(TRUE, FALSE), min(n, 3L), TRUE), back = n:1, run = { a <- sort(some(2L)); a[1L]:a[2L] }, dbl = some() + 0.5,
         na = sample(c(some(), NA)), name = nm[some()], shared = copy(some(4L)), view = shared_view(copy(some(5L))))
}
ordinary <- function(i) if (is_shared(i)) i[] else i

random_index_of <- function(v, write) {
  d <- dim(v)
  if (is.null(d)) return(list(random_index(length(v), names(v), write)))
  if (runif(1) < 0.6) return(lapply(seq_along(d), function(k) random_index(d[k], dimnames(v)[[k]], write)))
  if (runif(1) < 0.5) return(list(sapply(d, function(e) sample.int(e, 4L, TRUE))))
  list(random_index(length(v), NULL, write))
}

attempt <- function(expr) tryCatch(list(suppressWarnings(expr)), error = function(e) "error")
same <- function(a, b) identical(a, b) || isTRUE(all.equal(a, b, tolerance = 1e-13))

told <- function(...) paste(vapply(list(...), deparse1, ""), collapse = " ## ")

# Each step gives NULL, or what differs.
steps <- list(
  read = function(m) {
    w <- pick(m$ways)
    v <- shown(m, w)
    i <- random_index_of(v, FALSE)
    dots <- if (!is.null(dim(v)) && runif(1) < 0.3) list(drop = FALSE)
    want <- attempt(do.call(`[`, c(list(v), lapply(i, ordinary), dots)))
    got <- attempt(do.call(`[`, c(list(w$x), if (is_shared(w$x)) i else lapply(i, ordinary), dots)))
    if (!same(got, want)) told(lapply(i, ordinary), got, want)
  },
  assign = function(m) {
    w <- pick(Filter(function(w) w$write, m$ways))
    v <- shown(m, w)
    i <- random_index_of(v, TRUE)
    from <- if (runif(1) < 0.6) pick(m$ways)
    value <- if (is.null(from)) pools[[m$code]](sample(1:4, 1L)) else if (runif(1) < 0.5) from$x else from$x[sample(length(from$at),
      2L, TRUE)]
    plain <- if (is.null(from)) value else if (is_shared(value) || length(value) > 2L || identical(value,
      from$x)) unname(m$ref[from$at]) else value
    want <- attempt(do.call(`[<-`, c(list(v), lapply(i, ordinary), list(value = as.vector(plain)))))
    x <- w$x
    got <- attempt(do.call(`[<-`, c(list(x), i, list(value = value))))
    if (identical(want, "error") != identical(got, "error")) return(told(lapply(i, ordinary), plain, got, want))
    if (!identical(want, "error")) m$ref[w$at] <- as.vector(want[[1L]])
    if (!same(unname(m$ways[[1L]]$x[]), m$ref)) told(lapply(i, ordinary), plain, m$ways[[1L]]$x[], m$ref)
  },
  compute = function(m) {
    a <- pick(m$ways)
    b <- if (runif(1) < 0.5) pick(m$ways)
    op <- pick(list(`+`, `-`, `*`, `/`, `^`, `%%`, `==`, `<`, `>=`, `!=`, `&`))
    v <- shown(m, a)
    if (is_shared(a$x) || (!is.null(b) && is_shared(b$x))) {
      y <- if (is.null(b)) pools[[m$code]](1L) else b$x
      z <- if (is.null(b)) y else shown(m, b)
      got <- attempt(op(a$x, y))
      want <- attempt(op(v, z))
      if (!same(got, want)) told(op, got, want)
    }
  },
  sum_up = function(m) {
    w <- pick(m$ways)
    f <- pick(list(sum, range, max, mean, function(x) mean(x, na.rm = TRUE), function(x) min(x, na.rm = TRUE), anyNA, is.na, all, prod,
      median,
                   function(x) quantile(x, na.rm = TRUE), summary, unique, duplicated, rev, as.character, as.list, format, abs, sqrt,
                     cumsum, t))
    got <- attempt(f(w$x))
    want <- attempt(f(shown(m, w)))
    if (!same(got, want)) told(f, got, want)
  },
  sort = function(m) {
    w <- pick(m$ways)
    v <- as.vector(shown(m, w))
    decreasing <- runif(1) < 0.5
    o <- if (is.complex(v)) order(is.na(v), ifelse(is.na(v), NA, Re(v)), ifelse(is.na(v), NA, Im(v)), decreasing = c(FALSE, decreasing,
      decreasing), method = "radix")
         else order(if (is.raw(v)) as.integer(v) else v, decreasing = decreasing, method = "radix")
    if (!same(argsort(w$x, decreasing = decreasing, np = 2L), o)) return("argsort")
    if (!same(attempt(sort(w$x, decreasing = decreasing)), attempt(sort(shown(m, w), decreasing = decreasing)))) return("sort")
    if (m$code != "raw" && !same(attempt(order(w$x)), attempt(order(shown(m, w))))) "order"
  },
  search = function(m) {
    if (m$code %in% c("c16", "raw")) return(NULL)
    w <- pick(m$ways)
    v <- as.vector(shown(m, w))
    s <- copy(v[order(v, method = "radix", na.last = NA)])
    q <- pools[[m$code]](5L)
    q <- q[!is.na(q)]
    want <- vapply(q, function(e) sum(rank_of(s[]) < rank_of(e, s[])) + 1L, 0L, USE.NAMES = FALSE)
    if (length(s) > 0L && !identical(searchsorted(s, q), want)) "searchsorted"
  },
  add = function(m) {
    if (!m$code %in% c("i4", "i8", "f8")) return(NULL)
    w <- pick(Filter(function(w) w$write, m$ways))
    i <- sample(length(w$at))
    m$ref[] <- if (m$code == "i4") seq_along(m$ref) else seq_along(m$ref) + 0
    m$ways[[1L]]$x[] <- m$ref
    value <- pick(m$ways)
    if (length(value$at) != length(i)) return(NULL)
    before <- m$ref
    m$ref[w$at[i]] <- before[w$at[i]] + before[value$at]
    atomic_add(w$x, i, value$x)
    if (!same(unname(m$ways[[1L]]$x[]), m$ref)) "atomic_add"
  })
pick <- function(l) {
  w <- l[[sample.int(length(l), 1L)]]
  # a view anew each time, as one that had to copy keeps what it has shown
  if (is.list(w) && !is.null(w$of)) w$x <- shared_view(w$of, w$span[1L], w$span[2L])
  w
}
# Places of strings in the order of their bytes; numbers as they are.
rank_of <- function(v, among = v) {
  if (!is.character(v)) return(as.double(v))
  all <- unique(c(v, among))
  match(v, all[order(all, method = "radix")])
}

random_session <- function(seed, n = 12L) {
  set.seed(seed)
  file <- tempfile()
  on.exit(unlink(file))
  m <- list2env(open_memory(sample(names(pools), 1L), file))
  for (k in seq_len(n)) {
    step <- sample(names(steps), 1L, prob = c(4, 4, 2, 2, 1, 1, 1))
    differs <- steps[[step]](m)
    if (!is.null(differs)) return(sprintf("random_session(%d): %s, step %d %s: %s", seed, m$code, k, step, substr(differs, 1L, 300L)))
  }
  NULL
}

test_that("random sessions on one memory by handles, views and maps go as in base R", {
  old <- RNGkind()
  on.exit(RNGkind(old[1L], old[2L], old[3L]))
  first <- as.integer(as.double(Sys.time()) %% 1e6) * 1000L
  end <- Sys.time() + as.numeric(Sys.getenv("SHAREDMEM_SOAK", "4"))
  k <- 0L
  bad <- character()
  while (Sys.time() < end && length(bad) < 20L) {
    k <- k + 1L
    bad <- c(bad, tryCatch(random_session(first + k), error = function(e) sprintf("random_session(%d): %s", first + k,
      conditionMessage(e))))
  }
  cat(sprintf("seeds %d to %d\n", first + 1L, first + k))
  expect_identical(bad, character())
})
