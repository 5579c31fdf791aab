# Every generic that works on a shared array, beside base R on the same values.

values <- function() list(
  dbl = c(3, 1, NA, 2, NaN, -0, 0, Inf), int = c(3L, NA, 1L, 3L), lgl = c(TRUE, NA, FALSE), cplx = c(1 + 2i, NA, 0i),
  raw = as.raw(c(3, 1, 3)), chr = c("b", "a", NA, "b"), named = c(a = 1, b = 2, c = NA), fac = factor(c("b", "a", NA, "b"),
  levels = c("b", "a", "z")),
  date = as.Date(c("2024-03-01", NA, "2023-01-01")), ct = as.POSIXct(c(1e9, NA, 0), origin = "1970-01-01", tz = "UTC"),
  dt = as.difftime(c(1, NA, 3), units = "hours"), mat = matrix(c(3, 1, NA, 4, 5, 6), 2, dimnames = list(c("r1", "r2"), c("A", "B", "C"))),
  imat = matrix(1:6, 3), lmat = matrix(c(TRUE, FALSE, NA, TRUE), 2), cmat = matrix(letters[1:4], 2), arr = array(1:24 + 0, c(2, 3, 4)),
  line = array(c(2, 1, 3), 3), none = numeric(), no_text = character(), no_rows = matrix(0, 0, 3), no_columns = matrix(0L, 3, 0), one = 5,
  square = matrix(c(2, 1, 1, 3), 2))

calls <- alist(
  length(x), dim(x), dimnames(x), names(x), t(x), aperm(x), head(x), head(x, 2), head(x, -1), tail(x), tail(x, 2), tail(x, -1), rev(x),
  sort(x), sort(x, decreasing = TRUE), sort(x, na.last = TRUE), order(x), order(x, decreasing = TRUE), order(x, na.last = NA), xtfrm(x),
  rank(x), rank(x, ties.method = "min"), rank(x, ties.method = "first"), rank(x, na.last = "keep"), unique(x), unique(x, fromLast = TRUE),
  duplicated(x), anyDuplicated(x), mean(x), mean(x, na.rm = TRUE), mean(x, trim = 0.1), median(x), median(x, na.rm = TRUE),
  quantile(x), quantile(x, na.rm = TRUE), quantile(x, 0.3, names = FALSE, na.rm = TRUE, type = 1), range(x), range(x, na.rm = TRUE),
  range(x, finite = TRUE), sum(x), sum(x, na.rm = TRUE), sum(x, 1), prod(x), min(x), max(x), min(x, na.rm = TRUE), max(x, 7,
  na.rm = TRUE),
  any(x), all(x), is.na(x), anyNA(x), is.nan(x), is.finite(x), is.infinite(x), is.numeric(x), is.matrix(x), is.array(x), lapply(x,
  identity),
  sapply(x, function(v) v), sapply(x, length, USE.NAMES = FALSE), vapply(x, function(v) 1, 0), scale(x), scale(x, scale = FALSE),
  summary(x),
  format(x), format(x, nsmall = 2), as.vector(x), as.vector(x, "list"), as.vector(x, "character"), as.double(x), as.integer(x),
  as.logical(x), as.complex(x), as.character(x), as.matrix(x), as.array(x), as.data.frame(x), as.list(x), as.raw(x), c(x), c(x, 1),
  c(x, x),
  c(a = x, 2), rep(x, 2), rep(x, each = 2), rep(x, length.out = 5), rep(x, times = seq_along(x)), all.equal(x, x), all.equal(x, 1),
  x + 1, 1 + x, x * x, -x, +x, !x, x^2, x %% 2, x %/% 2, x / 2, x == x, x != 1, x < 2, 2 >= x, x & TRUE, x | FALSE, x == "a", x + NULL,
  x + 1:2, x + matrix(1), matrix(1) * x, x - array(1, 1), abs(x), sqrt(x), exp(x), floor(x), round(x), round(x, 1), signif(x, 2),
  trunc(x), cumsum(x),
  cumprod(x), cummax(x), log(x), log(x, 2), log2(x), sin(x), sign(x), Mod(x), Re(x), Conj(x), cbind(x), rbind(x), cbind(x, 1), rbind(1,
  x),
  cbind(a = x, b = x), cbind(x, x, deparse.level = 0), cbind(x + 0, x, deparse.level = 2), rbind(x, z = 2), cbind(1:2, x), cbind(x, NULL),
  diff(x), diff(x, lag = 2), cut(x, 3), cut(x, c(0, 2, 4)), levels(x), nlevels(x), boxplot(x, plot = FALSE), toString(x), apply(x, 1,
  sum),
  apply(x, 2, identity), apply(x, c(1, 2), function(v) v), apply(x, 3, sum), outer(x, 1:2), split(x, seq_along(x) %% 2), seq_along(x),
  seq(x),
  nrow(x), NCOL(x), subset(x, TRUE), na.omit(x), det(x), isSymmetric(x), weighted.mean(x), weekdays(x), months(x), quarters(x), units(x),
  rep_len(x, 5), rep.int(x, 2), stats::ts(x), stats::ts(x, end = 9), stats::as.ts(x), stats::lag(x, 2), stats::acf(x, plot = FALSE)$acf,
  droplevels(x), hist(x, plot = FALSE)$counts, data.frame(v = x), do.call(sum, list(x)), Reduce(`+`, x), Filter(is.na, x))

# The value with its warnings, or the class of failure; attributes count, doubles to the last bits but for sums in another order.
outcome_of <- function(call, x) {
  warned <- character()
  tryCatch({
    value <- withCallingHandlers(eval(call, list(x = x)), warning = function(w) {
      warned <<- c(warned, conditionMessage(w))
      invokeRestart("muffleWarning")
    })
    list(if (is_shared(value)) value[] else value, warned)
  }, error = function(e) "error")
}

mismatches <- function(values, calls) {
  bad <- character()
  for (name in names(values)) {
    x <- copy(values[[name]])
    for (call in calls) {
      if (name == "raw" && grepl("bind", deparse(call))) next # base R itself mixes raw bytes and numbers at random
      want <- outcome_of(call, values[[name]])
      got <- outcome_of(call, x)
      if (!identical(want, got) && !isTRUE(all.equal(want, got, tolerance = 1e-14))) bad <- c(bad, paste(name, deparse(call)))
    }
    if (!identical(x[], values[[name]])) bad <- c(bad, paste(name, "changed"))
  }
  bad
}

test_that("generics give what base R gives for the values, with its attributes, warnings and errors", {
  expect_identical(mismatches(values(), calls), character())
})

test_that("the threaded summaries of large arrays give what base R gives", {
  large <- list(dbl = c(runif(1.5e5), NA), int = sample(1000L, 2e5, TRUE), mat = matrix(runif(2e5), 400), zero = c(rep(30000L, 2e5), 0L))
  expect_identical(mismatches(large, alist(sum(x, na.rm = TRUE), mean(x), mean(x, na.rm = TRUE), prod(x), range(x), min(x), max(x,
  na.rm = TRUE),
    x + matrix(1), x * 2, x + x, x < 0.5, sqrt(x), dim(x + 1), anyNA(x))), character())
})

test_that("integer64 is ordered, ranked, compared and taken as bit64 does", {
  skip_if_not_installed("bit64")
  v <- bit64::as.integer64(c("9007199254740993", "-5", NA, "9007199254740992"))
  x <- copy(v)
  expect_identical(order(x), c(2L, 4L, 1L, 3L))
  expect_identical(rank(x, na.last = "keep"), c(3, 1, NA, 2))
  expect_identical(argsort(x), c(2L, 4L, 1L, 3L))
  for (call in alist(sort(x), range(x, na.rm = TRUE), max(x, na.rm = TRUE), min(x, na.rm = TRUE), unique(x), duplicated(x), x == x, x < 5,
                     c(x, x), rep(x, 2), rev(x), format(x), as.character(x), as.data.frame(x), is.na(x), mean(x, na.rm = TRUE)))
    expect_identical(outcome_of(call, x), outcome_of(call, v), label = deparse(call))
  x[1] <- NA
  x[[2]] <- NA_integer_
  x[4] <- NA_real_
  expect_true(all(is.na(x)))
  for (bad in list(-2^63, 2^63, 1.5)) expect_error(x[1] <- bad, class = "sharedmem_value_error")
  expect_true(all(is.na(x)))
})

test_that("cbind() and rbind() take shared arrays among others", {
  x <- copy(c(a = 1, b = 2))
  y <- c(5, 6)
  m <- copy(matrix(1:4, 2))
  expect_identical(cbind(y, x), cbind(y, x = x[]))
  expect_identical(rbind(m, x, last = y), rbind(m[], x = x[], last = y))
  expect_identical(do.call(cbind, list(x, x)), do.call(cbind, list(x[], x[])))
})

test_that("levels of a shared factor are replaced in a new handle", {
  f <- copy(factor(c("a", "b", "a")))
  g <- f
  levels(g) <- c("x", "y")
  expect_identical(g[], factor(c("x", "y", "x")))
  expect_identical(f[], factor(c("a", "b", "a")))
  g[1] <- "y"
  expect_identical(as.character(f), c("b", "b", "a"))
  expect_error(levels(f) <- "x", class = "sharedmem_argument_error")
  expect_error(levels(f) <- c("x", "x"), class = "sharedmem_argument_error")
})

test_that("what takes no shared array says what to do", {
  x <- copy(matrix(1:4 + 0, 2))
  for (f in list(rowSums, colSums, rowMeans, colMeans)) expect_error(f(x), "shared_view", class = "sharedmem_argument_error")
  expect_identical(x$shape, c(2, 2))
  expect_identical(x$dtype, "f8")
  expect_error(x$rows, "dim", class = "sharedmem_argument_error")
  expect_error(x$shape <- 4, "dim", class = "sharedmem_argument_error")
  expect_error(empty(5, 3), "c\\(5, 3\\)", class = "sharedmem_argument_error")
  expect_error(dim(x) <- integer(), class = "sharedmem_argument_error")
})

test_that("plots take shared arrays", {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  m <- copy(matrix(1:6 + 0, 2))
  v <- copy(c(a = 1, b = 3))
  expect_silent(image(m))
  expect_silent(image(copy(1:2), copy(1:3), m))
  expect_silent(persp(m))
  expect_identical(boxplot(m)$stats, boxplot(m[])$stats)
  expect_identical(barplot(v), barplot(v[]))
  expect_silent(plot(v))
  expect_silent(hist(v))
})

test_that("dates, times and pretty limits are those of the values", {
  origin <- "1970-01-01"
  expect_identical(as.Date(copy(c(1, 2.5)), origin = origin), as.Date(c(1, 2.5), origin = origin))
  expect_identical(as.POSIXct(copy(c(0, 60)), tz = "UTC", origin = origin), as.POSIXct(c(0, 60), tz = "UTC", origin = origin))
  expect_identical(as.POSIXct(copy(as.Date("2020-01-01"))), as.POSIXct(as.Date("2020-01-01")))
  expect_identical(as.POSIXlt(copy(c(0, 60)), tz = "UTC", origin = origin), as.POSIXlt(c(0, 60), tz = "UTC", origin = origin))
  days <- as.Date("2020-01-02") + 0:2
  expect_identical(julian(copy(days)), julian(days))
  expect_identical(pretty(copy(c(1, 9.5))), pretty(c(1, 9.5)))
})

test_that("generics of bit64 order and rank other arrays as base R does", {
  skip_if_not_installed("bit64")
  x <- c(3L, 1L, NA, 2L)
  expect_identical(bit64::order(copy(x), decreasing = TRUE), order(x, decreasing = TRUE))
  expect_identical(bit64::rank(copy(x)), rank(x))
})

test_that("C code that asks for the address of a view once an element is not looked into each time, and sorting still is", {
  r <- run_script({
    looks <- sorts <- 0
    f <- sharedmem:::sorting_frame
    counted <- function(unused) {
      looks <<- looks + 1
      frame <- real(unused)
      if (!is.null(frame)) sorts <<- sorts + 1
      frame
    }
    body(f)[[2L]] <- quote(n <- sys.nframe() - 2L) # one frame more than without the count
    real <- f
    utils::assignInNamespace("sorting_frame", counted, "sharedmem")
    x <- copy(c(5000:1, NA) + 0)
    d <- as.Date(x[], origin = "1970-01-01")
    of_values <- function(x, d) {
      g <- rep_len(1:2, 5001)
      list(cut(x, 3), split(x, g), split(d, g), tapply(x, g, sum), cut(d, "year"), split(x, list(g, g)))
    }
    want <- of_values(x[], d)
    same <- c(identical(of_values(x, copy(d)), want), identical(of_values(shared_view(x), shared_view(copy(d))), want))
    v <- shared_view(x)
    same <- c(same, identical(range(v, na.rm = TRUE), c(1, 5000)))
    of_loops <- looks
    for (k in 1:100) { max(v); order(v); range(v[2]); sort.list(v, method = "radix"); .bincode(v, c(0, 9)); sort.int(v, method = "radix") }
    answer(list(same, of_loops, sorts))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1]], c(TRUE, TRUE, TRUE))
  expect_lt(r$value[[2]], 5001)
  expect_gte(r$value[[3]], 300)
})

test_that("plot() and hist() draw what they draw for the values, under the caller's names", {
  drawn <- function(draw, at, level, kind, z) {
    file <- tempfile(fileext = ".pdf")
    pdf(file, compress = FALSE)
    suppressWarnings(draw(at, level, kind, z))
    dev.off()
    grep("Date", readLines(file), value = TRUE, invert = TRUE, useBytes = TRUE)
  }
  on <- as.Date("2024-01-01") + 0:2
  how <- factor(c("a", "b", "a"))
  for (draw in list(function(at, level, kind, z) plot(at, level), function(at, level, kind, z) plot(y = level, x = at, col = 2),
                    function(at, level, kind, z) plot(kind), function(at, level, kind, z) plot(kind, level),
                    function(at, level, kind, z) plot(z), function(at, level, kind, z) hist(level, main = quote(x^2)),
                    function(at, level, kind, z) hist(level)))
    expect_identical(drawn(draw, copy(on), copy(c(1, 5, 2)), copy(how), copy(c(1+2i, 3-1i))),
                     drawn(draw, on, c(1, 5, 2), how, c(1+2i, 3-1i)), info = deparse(body(draw)))
  level <- copy(c(1, 5, 2))
  expect_identical(hist(level, plot = FALSE)$xname, "level")
  expect_identical(do.call(hist, list(level, plot = FALSE))$xname, "x")
})

test_that("units and mode of a shared array stay, and what asks for others is told what to do", {
  d <- copy(as.difftime(90, units = "mins"))
  units(d) <- "mins"
  e <- expect_error(units(d) <- "hours", class = "sharedmem_value_error")
  expect_match(conditionMessage(e), "copy(`units<-`(x[], \"hours\"))", fixed = TRUE)
  expect_identical(d[], as.difftime(90, units = "mins"))
  expect_error({ x <- copy(1:3); units(x) <- "hours" }, "no applicable method")
  for (x in list(copy(matrix(1:4, 2)), copy("a"), copy(1.5))) for (mode in c("numeric", "complex", "logical", "integer", "character"))
    expect_error(mode(x) <- mode, class = "sharedmem_value_error")
})
