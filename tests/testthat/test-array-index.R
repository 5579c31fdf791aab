# Thousands of reads and assignments beside R's own arrays.

numeric_pools <- list(
  f8 = function(n) sample(c(rnorm(5), NA, NaN, Inf, -Inf, 0), n, TRUE),
  f4 = function(n) sample(c(0.5, -2.25, 3, NA, NaN, Inf, 1e10 * 0 + 16777216), n, TRUE),
  i1 = function(n) sample(-128:127, n, TRUE),
  i2 = function(n) sample(-32768:32767, n, TRUE),
  i4 = function(n) sample(c(NA, -.Machine$integer.max, 5L, 0L, .Machine$integer.max), n, TRUE),
  i8 = function(n) sample(c(-2^53, -1, 0, 7, 2^53), n, TRUE),
  u1 = function(n) sample(0:255, n, TRUE),
  u2 = function(n) sample(0:65535, n, TRUE),
  u4 = function(n) sample(c(0, 1, 2^31, 2^32 - 1), n, TRUE),
  c16 = function(n) sample(c(1i, 2 + 3i, NA, complex(real = NaN, imaginary = 1)), n, TRUE),
  b1 = function(n) sample(c(TRUE, FALSE, NA), n, TRUE),
  raw = function(n) as.raw(sample(0:255, n, TRUE)),
  S5 = function(n) sample(c("", "a", "caf\u00e9", "12345", NA), n, TRUE)
)

random_subscript <- function(n, nm, writing) {
  some <- function(k = sample(0:6, 1)) if (n > 0) sample.int(n, k, TRUE) else integer()
  kinds <- c("positive", "zeros", "negative", "logical", "recycled", "range", "back", "stride", "double", "NA", "factor",
             "empty", "none", "lglNA", if (!is.null(nm)) "name", if (!is.null(nm) && !writing) "nameNA")
  switch(sample(kinds, 1L),
    positive = some(), zeros = sample(c(some(), 0L, 0L)),
    negative = -c(some(), if (runif(1) < 0.3) c(0L, n + 3L)), logical = sample(c(TRUE, FALSE), n, TRUE),
    recycled = sample(c(TRUE, FALSE), min(n, sample(1:3, 1)), TRUE),
    range = if (n) { a <- sort(sample.int(n, 2, TRUE)); a[1]:a[2] } else integer(),
    back = if (n) n:1 else integer(), stride = if (n) seq(1, n, by = 2) else numeric(),
    double = some() + 0.7, "NA" = sample(c(some(), NA)), factor = factor(letters[some()], letters),
    empty = NULL, none = quote(all), lglNA = if (n) sample(c(TRUE, NA, FALSE), n, TRUE) else logical(),
    name = nm[some()], nameNA = c(nm[some()], NA))
}

random_matrix_subscript <- function(d, dn) {
  k <- sample(0:5, 1)
  if (any(d == 0)) k <- 0L
  m <- vapply(d, function(e) if (e) sample.int(e, k, TRUE) else integer(k), integer(k))
  m <- matrix(as.integer(m), k, length(d))
  if (!is.null(dn) && !any(vapply(dn, is.null, NA)) && k && runif(1) < 0.4)
    return(matrix(vapply(seq_along(d), function(j) dn[[j]][m[, j]], character(k)), k))
  if (k && runif(1) < 0.2) m[sample(length(m), 1)] <- sample(c(0L, NA), 1)
  if (runif(1) < 0.5) storage.mode(m) <- "double"
  m
}

# Value, or the class "error"; and whether it warned.
outcome <- function(expr) {
  warned <- FALSE
  value <- tryCatch(withCallingHandlers(expr, warning = function(w) {
    warned <<- TRUE
    invokeRestart("muffleWarning")
  }), error = function(e) structure(list(message = conditionMessage(e), class = class(e)), class = "outcome_error"))
  list(value = value, warned = warned, failed = inherits(value, "outcome_error"))
}

# `[` or `[<-` with a list of subscripts, the symbol `all` standing for an empty one.
call_index <- function(f, x, subs, ...) {
  args <- lapply(subs, function(s) if (is.symbol(s)) quote(expr = ) else s)
  eval(as.call(c(list(as.name(f), quote(x)), args, list(...))))
}

random_shape <- function() {
  kind <- sample(5L, 1L)
  switch(kind, sample(0:9, 1), sample(1:40, 1), sample(0:4, 2, TRUE), sample(1:4, 3, TRUE), sample(c(1, 1, 2, 3), 4, TRUE))
}

random_pair <- function(code) {
  d <- random_shape()
  x <- empty(d, code)
  ref <- numeric_pools[[code]](prod(d))
  if (length(d) > 1L) dim(ref) <- d
  x[] <- ref
  if (runif(1) < 0.4) {
    if (length(d) == 1L && d > 0) names(ref) <- names(x) <- paste0("n", seq_len(d))
    else if (length(d) > 1L && all(d > 0)) {
      dn <- lapply(d, function(e) if (runif(1) < 0.8) paste0("d", seq_len(e)))
      if (runif(1) < 0.3) names(dn) <- LETTERS[seq_along(d)]
      dimnames(ref) <- dn
      dimnames(x) <- dn
    }
  }
  list(x = x, ref = ref)
}

random_subs <- function(ref, writing) {
  d <- dim(ref)
  n <- length(ref)
  if (length(d) > 1L && runif(1) < 0.6)
    return(lapply(seq_along(d), function(k) random_subscript(d[k], dimnames(ref)[[k]], writing)))
  if (length(d) > 1L && runif(1) < 0.4) return(list(random_matrix_subscript(d, dimnames(ref))))
  list(random_subscript(n, if (is.null(d)) names(ref), writing))
}

describe_trial <- function(code, p, subs, extra = NULL)
  paste0(code, " [", paste(dim(p$ref) %||% length(p$ref), collapse = "x"), "] subs ", paste(deparse(subs), collapse = ""),
         if (length(extra)) paste(" value", paste(deparse(extra), collapse = "")))
`%||%` <- function(a, b) if (is.null(a)) b else a

test_that("reads give what R's own arrays give, for every dtype, shape and kind of index", {
  set.seed(1)
  for (code in names(numeric_pools)) for (trial in 1:250) {
    p <- random_pair(code)
    subs <- random_subs(p$ref, FALSE)
    extra <- if (length(dim(p$ref)) && runif(1) < 0.3) list(drop = FALSE)
    want <- outcome(do.call(call_index, c(list("[", p$ref, subs), extra)))
    got <- outcome(do.call(call_index, c(list("[", p$x, subs), extra)))
    if (want$failed || got$failed) expect_identical(c(got$failed, want$failed), c(TRUE, TRUE), info = describe_trial(code, p, list(subs, want, got)))
    else expect_identical(got$value, want$value, info = describe_trial(code, p, subs))
  }
})

test_that("assignments leave what R's own arrays hold, with R's warnings and errors", {
  set.seed(2)
  for (code in names(numeric_pools)) for (trial in 1:250) {
    p <- random_pair(code)
    subs <- random_subs(p$ref, TRUE)
    count <- outcome(length(call_index("[", p$ref, subs)))$value
    if (!is.numeric(count)) count <- 3
    k <- sample(c(1L, count, max(1L, count %/% 2L), count + 1L, if (runif(1) < 0.1) 0L), 1L)
    value <- numeric_pools[[code]](k)
    before <- p$x[]
    want <- outcome(call_index("[<-", p$ref, subs, value = value))
    got <- outcome(call_index("[<-", p$x, subs, value = value))
    info <- describe_trial(code, p, list(subs, want, got), value)
    if (want$failed || got$failed) {
      expect_identical(c(got$failed, want$failed), c(TRUE, TRUE), info = info)
      expect_identical(p$x[], before, info = info)
    } else {
      expect_identical(p$x[], want$value, info = info)
      expect_identical(got$warned, want$warned, info = info)
    }
  }
})

test_that("`[[` gives what R's own arrays give", {
  set.seed(3)
  for (trial in 1:400) {
    p <- random_pair("f8")
    d <- dim(p$ref)
    i <- if (length(d) && runif(1) < 0.5) lapply(d, function(e) sample(0:max(1, e), 1))
         else list(sample(list(1L, length(p$ref), 2.5, -1L, NA, NA_integer_, 0L, 1:2, integer(), TRUE,
                               if (is.null(d) && !is.null(names(p$ref))) "n1" else 1L), 1L)[[1L]])
    want <- outcome(call_index("[[", p$ref, i))
    got <- outcome(call_index("[[", p$x, i))
    info <- describe_trial("f8", p, list(i, want, got))
    if (want$failed || got$failed) expect_identical(c(got$failed, want$failed), c(TRUE, TRUE), info = info)
    else expect_identical(got$value, want$value, info = info)
  }
})
