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
    if (want$failed || got$failed) expect_identical(c(got$failed, want$failed), c(TRUE, TRUE),
                                                    info = describe_trial(code, p, list(subs, want, got)))
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

test_that("an index out of bounds is an error in reading and assignment, with its fields", {
  x <- empty(c(3, 4))
  e <- expect_error(x[13], class = "sharedmem_index_error")
  expect_identical(c(e$position, e$index, e$extent), c(1, 13, 12))
  e <- expect_error(x[c(1, 2), c(1, 5)], class = "sharedmem_index_error")
  expect_identical(c(e$position, e$index, e$extent, e$axis), c(2, 5, 4, 2))
  e <- expect_error(x[cbind(1:3, c(1, 9, 1))] <- 1, class = "sharedmem_index_error")
  expect_identical(c(e$position, e$index, e$extent, e$axis), c(2, 9, 4, 2))
  expect_error(x[rep(TRUE, 13)], class = "sharedmem_index_error")
  expect_error(x[[13]], class = "sharedmem_index_error")
  expect_error(x[1, 1, 1], class = "sharedmem_index_error")
  expect_error(x["a"], class = "sharedmem_index_error")
  expect_error(x[list(1)], class = "sharedmem_index_error")
  expect_error(x[1e300], class = "sharedmem_index_error")
  expect_error(x[Inf] <- 1, class = "sharedmem_index_error")
  expect_error(x[c(1, -1)], class = "sharedmem_index_error")
  expect_error(empty(0)[1], class = "sharedmem_index_error")
  expect_error({ y <- empty(2); names(y) <- c("a", "b"); y["c"] <- 1 }, class = "sharedmem_index_error")
  expect_true(all(x[] == 0))
})

test_that("values that a dtype cannot hold are refused, the first one is named, and nothing is written", {
  refused <- function(code, value, position) {
    x <- empty(length(value), code)
    before <- x[]
    e <- expect_error(x[] <- value, class = "sharedmem_value_error", info = code)
    expect_identical(e$position, position, info = code)
    expect_identical(x[], before, info = code)
  }
  refused("u1", c(1, 300), 2)
  refused("u1", c(1L, 2L, NA), 3)
  refused("u1", -1L, 1)
  refused("i1", c(127, 128), 2)
  refused("i2", c(-32768, 32768), 2)
  refused("u2", 65536L, 1)
  refused("u4", c(0, 2^32), 2)
  refused("u4", c(0, -1), 2)
  refused("i4", c(1, 1.5), 2)
  refused("i4", c(1, NaN), 2)
  refused("i4", 2^31, 1)
  refused("i4", -2^31, 1)
  refused("i8", c(1, 2^63), 2)
  refused("i8", c(1, NA), 2)
  refused("i8", c(1, Inf), 2)
  refused("b1", c(0, 1, 2), 3)
  refused("b1", c(TRUE, NaN), 2)
  refused("f4", c(1, 1e300), 2)
  refused("S3", c("abc", "ab\u00e9"), 2)
  refused("f8", 1i, 1)
  refused("f8", "1", 1)
  refused("f8", as.raw(1), 1)
  refused("raw", 1L, 1)
  refused("i4", list(1), 1)
})

test_that("each dtype keeps its extremes and R's NA apart from NaN", {
  kept <- function(code, value) { x <- empty(length(value), code); x[] <- value; expect_identical(x[], value, info = code) }
  kept("f8", c(NA, NaN, -0, Inf, .Machine$double.xmin))
  expect_identical(is.nan({ x <- empty(2, "f4"); x[] <- c(NA, NaN); x[] }), c(FALSE, TRUE))
  kept("f4", c(NA, 0.1 * 0, Inf, -Inf, 2^-126))
  kept("i4", c(NA, .Machine$integer.max, -.Machine$integer.max))
  kept("i8", c(-2^53, 2^53))
  suppressWarnings(kept("i8", c(-2^63, 2^62)))
  kept("u4", c(0, 2^32 - 1))
  kept("b1", c(NA, TRUE, FALSE))
  kept("S2", c(NA, "", "ab", "\u00e9"))
  kept("c16", c(NA, complex(real = NaN, imaginary = -Inf)))
  x <- empty(3, "i4")
  x[] <- c(TRUE, NA, FALSE)
  expect_identical(x[], c(1L, NA, 0L))
  x[] <- c(NA_real_, 3, -4)
  expect_identical(x[], c(NA, 3L, -4L))
})

test_that("text keeps its encoding, and numbers become text as R makes them", {
  x <- empty(3, "S6")
  x[1] <- iconv("caf\u00e9", "UTF-8", "latin1")
  expect_identical(x[[1]], "caf\u00e9")
  expect_identical(Encoding(x[[1]]), "latin1")
  x[2:3] <- c(1.5, NA)
  expect_identical(x[2:3], c("1.5", NA))
})

test_that("an i8 past 2^53 warns when read as double, and 2^53 itself does not", {
  skip_if_not_installed("bit64")
  x <- empty(2, "i8")
  x[] <- bit64::as.integer64(c("9007199254740993", "-9223372036854775807"))
  expect_warning(x[1], "2\\^53")
  expect_warning(x[], "2\\^53")
  expect_identical(as.character(bit64::as.integer64(x)), c("9007199254740993", "-9223372036854775807"))
  warn <- getOption("warn")
  expect_identical(names(table(x)), names(table(suppressWarnings(x[])))) # it turns warnings into errors, and leaves them so
  expect_identical(getOption("warn"), warn)
  x[] <- 2^53
  expect_silent(x[])
})

test_that("a shared array can be the value of its own assignment, overlapping or not", {
  x <- empty(10)
  x[] <- 1:10
  x[2:10] <- x[1:9]
  expect_identical(x[], c(1, 1:9))
  x[] <- 1:10
  y <- x
  dim(y) <- c(2, 5)
  x[10:1] <- x
  expect_identical(x[], as.double(10:1))
  y[] <- x
  expect_identical(x[], as.double(10:1))
  z <- empty(10, "i4")
  z[] <- x
  expect_identical(z[], 10:1)
  w <- empty(10)
  w[c(TRUE, FALSE)] <- x[1:5]
  w[] <- x
  expect_identical(w[], x[])
  i <- empty(2, "i4")
  i[] <- c(2L, 4L)
  expect_identical(x[i], c(9, 7))
})

test_that("a scalar is read and written by x[], and has length 1 and no dim", {
  x <- empty(integer(0))
  x[] <- 3
  expect_identical(x[], 3)
  expect_identical(length(x), 1L)
  expect_null(dim(x))
  x[1] <- 4
  expect_identical(x[[1]], 4)
  expect_error(x[2], class = "sharedmem_index_error")
  expect_warning(x[] <- 1:2)
  expect_identical(x[], 1)
})

test_that("assignment changes the memory, also inside a function and through another handle", {
  x <- empty(3)
  y <- x
  (function(v) v[2] <- 7)(x)
  expect_identical(y[], c(0, 7, 0))
})

test_that("drop, exact and empty subscripts work as R's", {
  m <- matrix(1:6 + 0, 2, dimnames = list(c("a", "b"), NULL))
  x <- empty(c(2, 3))
  x[] <- m
  dimnames(x) <- dimnames(m)
  expect_identical(x[1, , drop = FALSE], m[1, , drop = FALSE])
  expect_identical(x[, 2], m[, 2])
  expect_identical(x[, ], m[, ])
  expect_identical(x[drop = FALSE], m[drop = FALSE])
  expect_identical(x["b", 3], m["b", 3])
  expect_identical(x[["b", 3]], m[["b", 3]])
  v <- empty(2)
  names(v) <- c("alpha", "beta")
  v[] <- 1:2
  expect_identical(v[["al", exact = FALSE]], 1)
  expect_error(v[["al"]], class = "sharedmem_index_error")
  x[, 2] <- c(8, 9)
  x[1, ] <- 0
  expect_identical(as.vector(x), c(0, 2, 0, 9, 0, 6))
  a <- empty(c(2, 3, 2))
  a[, , 2] <- 1:6
  expect_identical(a[2, , 2], c(2, 4, 6))
  expect_identical(dim(a[, , 1, drop = FALSE]), c(2L, 3L, 1L))
})

test_that("names of subscripts count for nothing, as in R, wherever they stand", {
  m <- matrix(as.numeric(1:6), 2)
  x <- copy(m)
  reads <- expression(v[row = 1], v[row = 1, 2], v[1, col = 2], v[row = 2, col = 3], v[j = 2, i = 1], v[i = 2, j = 3],
                      v[row = , 2], v[1, col = ], v[row = 1, 2, drop = FALSE], v[drop = FALSE, 1, col = 2], v[row = 1, exact = FALSE],
                      v[[row = 2]], v[[row = 2, 3]], v[[2, col = 3]], v[[j = 2, i = 1]], v[[1, exact = FALSE]],
                      v[[2, drop = FALSE]], v[[2, 3, drop = TRUE]], do.call("[", list(v, 2, col = 3)), lapply(list(v), `[`, 2, col = 3))
  for (e in reads) expect_identical(eval(e, list(v = x)), eval(e, list(v = m)), info = deparse(e))
  writes <- expression(v[row = 1] <- 9, v[1, col = 2] <- 9, v[row = 1, 2] <- 9, v[row = 2, col = 3] <- 9, v[j = 2, i = 1] <- 9,
                       v[row = , 2] <- 9, v[[row = 2]] <- 9, v[[row = 2, 3]] <- 9, v[[1, col = 2]] <- 9, v[[j = 2, i = 1]] <- 9)
  for (e in writes) {
    plain <- list2env(list(v = m))
    shared <- list2env(list(v = copy(m)))
    eval(e, plain)
    eval(e, shared)
    expect_identical(shared$v[], plain$v, info = deparse(e))
  }
  a <- copy(array(1:24, 2:4))
  expect_identical(a[1, col = 2, 3], a[1, 2, 3])
  expect_identical(a[, col = 2, , drop = FALSE], a[][, 2, , drop = FALSE])
  expect_error(x[[row = ]], class = "sharedmem_index_error")
})

test_that("a subscript that the caller was not given is an empty one", {
  m <- matrix(1:6, 2)
  x <- copy(m)
  get1 <- function(v, i) v[i]
  get2 <- function(v, i, j, ...) v[i, j, ...]
  set1 <- function(v, i, value) { v[i] <- value; v }
  set2 <- function(v, i, j, value) { v[i, j] <- value; v }
  expect_identical(get1(x), m)
  expect_identical(get2(x, 1), m[1, ])
  expect_identical(get2(x, , 2, drop = FALSE), m[, 2, drop = FALSE])
  expect_identical(get2(x), m)
  expect_identical(set2(x, , 2, 9L)[], set2(m, , 2, 9L))
  expect_identical(set1(x, , 8L)[], set1(m, , 8L))
})

test_that("[[ ]] takes a factor by its codes", {
  x <- copy(c(a = 1, b = 2, c = 3))
  f <- factor("c", levels = c("b", "c"))
  expect_identical(x[[f]], 2)
  x[[f]] <- 5
  expect_identical(x[["b"]], 5)
  m <- copy(matrix(1:4, 2))
  expect_identical(m[[f, 1]], 2L)
})

test_that("a compact range that C code has written to is read by its values", {
  x <- empty(5)
  x[] <- 1:5
  i <- 1:3
  expect_identical(x[i], c(1, 2, 3))
  i[2] <- 5L
  expect_identical(x[i], c(1, 5, 3))
})

test_that("a compact range with 0 or of negative numbers is read as R reads it", {
  ref <- c(10, 20, 30, 40)
  for (ends in list(c(0, 3), c(-3, -2), c(2, 0), c(-1, 0))) expect_identical(copy(ref)[ends[1]:ends[2]], ref[ends[1]:ends[2]])
})

test_that("positions past 2^31 are read and written", {
  skip_on_cran()
  skip_if(total_memory() < 6 * 2^30)
  r <- run_script({
    x <- empty(2^31 + 10, "u1")
    n <- 2^31 + 10
    x[n] <- 7
    x[(n - 3):(n - 1)] <- 1:3
    x[c(1, n - 5)] <- 9L
    m <- x
    dim(m) <- c(2, n / 2)
    answer(list(length(x), x[(n - 5):n], x[n - 5], m[2, n / 2], tail(x, 2), x[[1]], inherits(try(x[n + 1], TRUE), "try-error")))
  }, timeout = 120)
  n <- 2^31 + 10
  expect_identical(r$value, list(n, c(9L, 0L, 1L, 2L, 3L, 7L), 9L, 7L, c(3L, 7L), 9L, TRUE))
})

test_that("names that are empty, rows with NA and 0, and values of other types are taken as R takes them", {
  x <- copy(c(a = 1, 2))
  expect_error(x[[""]], class = "sharedmem_index_error")
  expect_error(x[[""]] <- 3, class = "sharedmem_index_error")
  expect_identical(x[], c(a = 1, 2))
  m <- matrix(1:6, 2)
  for (i in list(rbind(c(NA, 0L), 2:3), rbind(c(0L, NA), 2:3), rbind(c(NA, 99L), 1:2), rbind(c(0L, 99L), 1:2)))
    expect_identical(copy(m)[i], m[i])
  z <- complex(2)
  z[1] <- NA
  y <- copy(complex(2))
  y[1] <- NA
  expect_identical(y[], z)
  for (value in list(factor("b"), as.Date("2024-01-01"), 1.5, TRUE, NA, 1e5, 123456789012)) {
    s <- c("a", "b")
    t <- empty(2, "S20")
    t[] <- s
    s[1] <- t[1] <- value
    expect_identical(t[], s)
  }
})

test_that("numbers as far apart as numbers are make no sequence that comes round to the array", {
  x <- copy(as.raw(1:10))
  for (i in list(c(1, -Inf, 1), c(1, -1e19, 1), c(1, NA, -1))) {
    expect_error(x[i], class = "sharedmem_index_error")
    expect_error(x[i] <- as.raw(0), class = "sharedmem_index_error")
  }
  half <- c(1L, 0L, 1L, 2^30, 1L, NA, 1L, -2^30, 1L, 0L) # of 64-bit numbers 2^62 apart; NA has the bits of -2^31
  wide <- structure(readBin(writeBin(as.integer(half), raw()), "double", 5L), class = "integer64")
  expect_error(x[wide], class = "sharedmem_index_error")
  expect_error(x[wide] <- as.raw(0), class = "sharedmem_index_error")
  expect_identical(x[], as.raw(1:10))
})

test_that("NA among the subscripts of several values is refused, also where nothing is selected", {
  x <- empty(c(3, 0))
  expect_error(x[c(1, NA), ] <- 1:2, class = "sharedmem_index_error")
  expect_silent(x[c(1, NA), ] <- 1)
})

test_that("`[[<-` takes one value and one element", {
  m <- copy(matrix(1:4, 2))
  m[[1, 2]] <- 9L
  expect_identical(m[], matrix(c(1:2, 9L, 4L), 2))
  expect_error(m[[1]] <- 1:2, class = "sharedmem_value_error")
  expect_error(m[[1, 1]] <- integer(), class = "sharedmem_value_error")
  expect_error(m[[]] <- 1L, class = "sharedmem_index_error")
  expect_error(m[matrix(c(-1, 1), 1)], class = "sharedmem_index_error")
  expect_identical(m[], matrix(c(1:2, 9L, 4L), 2))
})

test_that("integer64 goes into every dtype of numbers and truth values", {
  skip_if_not_installed("bit64")
  for (dtype in c("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8", "b1")) {
    x <- empty(2, dtype)
    x[] <- bit64::as.integer64(1:0)
    expect_equal(as.numeric(x[]), c(1, 0), label = dtype)
  }
  expect_error(x[] <- bit64::as.integer64(2), class = "sharedmem_value_error")
})

long_values <- function(n)
  list(f8 = c(NA, NaN, -0.5, runif(n - 3L)), i4 = c(NA, sample.int(n - 1L)), b1 = rep(c(TRUE, NA, FALSE), length.out = n),
       c16 = complex(real = runif(n), imaginary = c(NA, runif(n - 1L))), u1 = as.raw(seq_len(n) %% 256))

test_that("a long run of a vector is to R code what R reads from its own", {
  n <- 2^20 + 5
  for (type in names(values <- long_values(n))) {
    v <- values[[type]]
    x <- copy(v)
    y <- x[3:n]
    o <- v[3:n]
    expect_identical(y, o, info = type)
    expect_identical(x[], v, info = type)
    for (i in list(2:9, c(5, NA, 1e6), -(1:5), c(length(o), length(o) + 1, 2^33), c(0, 3), rev(seq_along(o)), integer(0),
                   c(TRUE, NA, FALSE)))
      expect_identical(y[i], o[i], info = type)
    several <- function(v) list(c(v, v[1L]), rev(v), is.na(v), head(v, -5L), as.list(v[1:3]), v[[7]], unique(v), rbind(v, v)[, 3:4])
    expect_identical(several(y), several(o), info = type)
    expect_identical(unserialize(serialize(y, NULL)), o, info = type)
    z <- y
    z[2L] <- z[5L]
    expect_identical(y, o, info = type)
    o[2L] <- o[5L]
    expect_identical(z, o, info = type)
    x[3:4] <- x[5:6]
    expect_identical(y[1:2], v[3:4], info = type)
  }
  x <- copy(array(runif(n), n, list(paste0("n", seq_len(n)))))
  expect_identical(x[2:n], x[][2:n])
  expect_identical(names(x[3:n])[1:2], c("n3", "n4"))
  m <- copy(matrix(runif(2^18), 4))
  expect_identical(m[1:3, ], m[][1:3, ])
  expect_identical(list(m[2^17:1], dim(m[])), list(as.vector(m[])[2^17:1], dim(m)))
})
