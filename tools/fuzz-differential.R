# Random programs on shared arrays and, the same, on plain R values: results, or that there is an error, must agree.
#   Rscript tools/fuzz-differential.R [--seconds=60] [--seed=N] [--runs=N]
# Each run makes an array of a random dtype, shape and names, reads, assigns and computes. A finding is repeated by the seed that it
# prints, with --runs=1.
#
# Where shared arrays are meant to differ (API.md, section 1), and what is expected instead:
#   reading out of bounds     an error; R gives NA for a vector (`beyond` below)
#   assigning out of bounds   an error; R makes the vector longer
#   a value that the dtype cannot hold   an error, and nothing is written; R changes the vector's type (`fitted` below)
#   raw values into u1        taken: they are its bytes
#   doubles past 2^31 as one of several subscripts   numbers like all others; R takes them for NA, with a warning (`within` below)
#   nothing into an empty array   by a subscript that is wrong an error; R does not look at it
#   NULL into no element      nothing happens; R looks for NA among the subscripts all the same
#   sorting raw values        an error, also where there are none
#   NA among numbers for c16   NA with imaginary part 0, as R does from 4.4 on; which part is NA is not compared
#   negative among several subscripts in `[[`   not compared: R takes how many there are from memory that nobody has set
#   deleting by `[[<-` NULL, and values of no basic type   an error
#   sums and means of floats  equal to 1e-12: they are summed in another order
# Whatever the call, an error leaves the array as it was.
suppressMessages(library(sharedmem))
.sharedmem_aware <- TRUE
source("tools/fuzz-common.R")

# ---- arrays ----

dtypes <- c("f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "c16", "b1", "S5", "raw")
limits <- list(i1 = c(-128, 127), i2 = c(-32768, 32767), i4 = c(-2147483647, 2147483647), i8 = c(-2^53, 2^53), u1 = c(0, 255),
               u2 = c(0, 65535), u4 = c(0, 2^32 - 1), b1 = c(0, 1))
has_na <- c("f8", "f4", "i4", "c16", "b1", "S5")
mode_of <- function(dtype)
  switch(dtype, f8 = , f4 = , i8 = , u4 = "double", c16 = "complex", b1 = "logical", S5 = "character", raw = "raw", "integer")

floats <- c(0, -0, 1, -1, 0.5, 2, 3, 7, 1024, -0.25, Inf, -Inf, NaN, NA)
elements <- function(dtype, n) {
  v <- switch(dtype, f8 = , f4 = sample(floats, n, TRUE),
              c16 = complex(real = sample(floats[1:10], n, TRUE), imaginary = sample(floats[1:10], n, TRUE)),
              S5 = sample(c("", "a", "b", "abc", "abcde", "\u00e9", "Z"), n, TRUE),
              raw = as.raw(sample.int(256L, n, TRUE) - 1L),
              sample(c(limits[[dtype]], limits[[dtype]], 0:1, 0:1, max(limits[[dtype]][1L], -3), min(limits[[dtype]][2L], 5)), n, TRUE))
  storage.mode(v) <- mode_of(dtype)
  if (dtype %in% has_na && n && chance(0.3)) v[sample.int(n, 1L)] <- NA
  v
}

labels <- function(n) sample(c(letters, if (chance(0.2)) c("", NA, "a")), n, n > 20 || chance(0.3))

new_pair <- function() {
  dtype <- pick(dtypes)
  shape <- switch(sample.int(6L, 1L), sample(0:12, 1L), sample(0:12, 1L), sample(0:5, 2L, TRUE), sample(0:4, 3L, TRUE),
                  sample(1000:3000, 1L), sample(1:3, 4L, TRUE))
  v <- elements(dtype, prod(shape))
  x <- empty(shape, dtype)
  x[] <- v
  if (length(shape) > 1L) {
    dim(v) <- shape
    if (chance(0.4)) {
      d <- lapply(shape, function(n) if (n && chance(0.7)) labels(n))
      dimnames(v) <- d
      dimnames(x) <- d
    }
  } else if (chance(0.3)) {
    names(v) <- names(x) <- labels(shape)
  }
  list(x = x, v = v, dtype = dtype)
}

# ---- subscripts ----

odd_numbers <- c(NA, 0, -1, 1e19, -1e19, Inf, -Inf, NaN, 2^31, -2^31, 2^53, 1.9, -1.9, 0.5, -0.5)

gap <- as.name("gap") # stands for a subscript left empty
fill_gaps <- function(args) lapply(args, function(s) if (identical(s, gap)) quote(expr = ) else s)

# For one extent of n elements with these names.
subscript <- function(n, names, within = Inf) {
  k <- sample(0:6, 1L)
  s <- switch(sample.int(13L, 1L),
              if (n) sample.int(n, k, TRUE) else integer(),
              as.numeric(if (n) sample.int(n, k, TRUE) else integer()) + sample(c(0, 0.7), 1L),
              if (n) -sample.int(n + 1L, k, TRUE) else -1,
              sample(c(TRUE, FALSE, if (chance(0.2)) NA), sample(c(0L, 1L, k, n, n + 2L), 1L), TRUE),
              if (length(names)) sample(c(names, if (chance(0.3)) "absent"), k, TRUE) else if (chance(0.1)) "absent" else seq_len(n),
              c(if (n) sample.int(n, k, TRUE), 0, if (chance(0.3)) NA),
              if (chance(0.5)) NULL else integer(),
              if (chance(0.5)) c(if (n) sample.int(n, 1L), pick(odd_numbers), if (chance(0.5) && n) sample.int(n, 1L)) else n + 1,
              rev(seq_len(n)),
              seq_len(n)[seq_len(n) %% 2L == 0L],
              c(0, if (n) -sample.int(n, k, TRUE)),
              if (n) sample.int(n, 1L) else 1L,
              gap)
  if (is.numeric(s)) s <- s[is.na(s) | abs(s) < within]
  if (is.integer(s) && length(s) && chance(0.1)) copy(s) else s
}

plain <- function(s) if (is.symbol(s)) s else if (is_shared_array(s)) s[] else s

# Does the subscript name an element that is not there?
beyond <- function(s, n, names) {
  s <- plain(s)
  if (is.symbol(s) || is.null(s)) FALSE
  else if (is.character(s)) any(!is.na(s) & (!nzchar(s) | !s %in% names))
  else if (is.logical(s)) any((is.na(s) | s) & seq_along(s) > n)
  else any(trunc(s) > n, na.rm = TRUE)
}

matrix_subscript <- function(v) {
  d <- dim(v)
  rows <- sample(0:4, 1L)
  if (!is.null(dimnames(v)) && !any(vapply(dimnames(v), is.null, NA)) && chance(0.3) && all(d > 0))
    return(vapply(dimnames(v), function(n) sample(n, rows, TRUE), character(rows), USE.NAMES = FALSE) |> matrix(rows, length(d)))
  m <- matrix(unlist(lapply(d, function(n) sample(c(seq_len(n), if (chance(0.1)) c(0, NA, n + 1)), rows, TRUE))), rows, length(d))
  if (chance(0.1)) m[sample.int(length(m) + 1L, 1L)[length(m) > 0L]] <- NA
  m
}

negative_of_several <- function(args)
  length(args) > 1L && any(vapply(args, function(a) is.numeric(a <- plain(a)) && any(a < 0, na.rm = TRUE), NA))

# Subscripts for one call, and whether one of them lies beyond.
subscripts <- function(v) {
  d <- dim(v)
  if (length(d) && chance(0.5)) {
    names <- if (is.null(dimnames(v))) vector("list", length(d)) else dimnames(v)
    s <- Map(subscript, d, names, 2^31)
    return(list(args = unname(s), beyond = any(mapply(beyond, s, d, names)), one = FALSE))
  }
  if (length(d) && chance(0.3)) {
    s <- tryCatch(matrix_subscript(v), error = function(e) 1L)
    return(list(args = list(s), beyond = !is.matrix(s) && beyond(s, length(v), names(v)), one = TRUE))
  }
  if (length(v) && chance(0.1)) return(list(args = list(array(runif(length(v)) < 0.5, d %||% length(v))), beyond = FALSE, one = TRUE))
  s <- subscript(length(v), names(v))
  list(args = list(s), beyond = beyond(s, length(v), names(v)), one = TRUE)
}
`%||%` <- function(a, b) if (is.null(a)) b else a

# ---- calls ----

# What comes of a call: its value and whether it warned, or its error.
outcome <- function(call, env) {
  warned <- character()
  value <- tryCatch(withCallingHandlers(eval(call, env), warning = function(w) {
    warned <<- c(warned, conditionMessage(w))
    invokeRestart("muffleWarning")
  }), error = function(e) e)
  list(value = value, failed = inherits(value, "error"), warned = length(warned) > 0L, why = warned)
}

# The call with the values of the shared arrays in it.
plain_call <- function(call) {
  if (is_shared_array(call)) return(call[])
  if (!is.call(call)) return(call)
  as.call(lapply(call, function(a) if (is.symbol(a)) a else plain_call(a)))
}

near <- function(a, b) identical(a, b) || (is.numeric(a) && is.numeric(b) || is.complex(a)) && identical(attributes(a), attributes(b)) &&
  identical(is.na(a), is.na(b)) && isTRUE(all.equal(a, b, tolerance = 1e-12))

report <- function(what, call, ours, base) {
  fuzz_finding(what)
  show <- function(side, o) {
    ran <- is.list(o) && !is.null(o$failed)
    value <- if (!ran) o else if (o$failed) paste("error:", conditionMessage(o$value)) else unshare(o$value)
    cat(side, deparse(value, nlines = 4L), "\n")
    if (ran && o$warned) cat("  warned: ", o$why, "\n")
  }
  cat("call: ", deparse(plain_call(call), nlines = 3L), "\n")
  cat("array: ", pair$dtype, "; ", deparse(before, nlines = 4L), "\n")
  show("ours: ", ours)
  show("base: ", base)
}

# Before R 4.3 an operator whose other side has a class with operators of its own does not come to shared arrays.
old_ops <- getRversion() < "4.3"

agree <- function(call, may_fail = FALSE, must_fail = FALSE, same = identical, warnings = TRUE) {
  ours <- outcome(call, list2env(list(x = pair$x), parent = globalenv()))
  base <- outcome(plain_call(call), list2env(list(x = before), parent = globalenv()))
  if (old_ops && any(grepl("Ops.shared_array", ours$why, fixed = TRUE))) return(invisible())
  if (any(grepl("Incompatible methods", base$why, fixed = TRUE))) return(invisible()) # a factor and a date: chance, what R makes of them
  if (must_fail && !ours$failed) report("no error", call, ours, base)
  else if (ours$failed && !base$failed && !may_fail) report("only ours fails", call, ours, base)
  else if (!ours$failed && base$failed) report("only R's fails", call, ours, base)
  else if (!ours$failed && !base$failed && !same(ours$value, base$value)) report("values differ", call, ours, base)
  else if (warnings && !ours$failed && !base$failed && ours$warned != base$warned) report("only one warns", call, ours, base)
}

read <- function() {
  s <- subscripts(before)
  # what R makes of x[[]] changes from version to version
  double <- chance(0.15) && !identical(s$args, list(gap)) && !negative_of_several(s$args)
  args <- c(if (double) quote(`[[`) else quote(`[`), quote(x), fill_gaps(s$args))
  if (!double && !s$one && chance(0.3)) args <- c(args, list(drop = FALSE))
  out <- s$beyond && !double # `[[` is out of bounds in R, too
  agree(as.call(args), may_fail = s$beyond, must_fail = out && s$one && !mixed(s$args[[1L]]))
}
# R refuses these before it looks at bounds.
mixed <- function(s) {
  s <- plain(s)
  is.numeric(s) && any(s <= -1, na.rm = TRUE)
}

# Can the dtype hold all of these?
fits <- function(dtype, value) {
  if (is.null(value) || is.list(value) || is.function(value)) return(FALSE)
  if (dtype == "S5") return(all(is.na(value) | nchar(as.character(value), "bytes") <= 5L))
  if (dtype == "raw") return(is.raw(value))
  if (is.character(value)) return(FALSE)
  if (is.raw(value)) return(dtype == "u1")
  if (is.complex(value)) return(dtype == "c16")
  if (dtype %in% c("f8", "c16")) return(TRUE)
  if (dtype == "f4") return(all(!is.finite(value) | abs(value) <= 3.4028235677973366e38))
  na <- is.na(value) & !is.nan(value)
  r <- limits[[dtype]]
  if (dtype == "i8") r <- c(-2^63, 2^63 - 1024)
  all(na & dtype %in% has_na | !is.na(value) & value == trunc(value) & value >= r[1L] & value <= r[2L])
}

assign_values <- function() {
  kind <- sample.int(12L, 1L)
  n <- pick(c(0L, 1L, 1L, 1L, 2L, 3L, length(before)))
  if (kind <= 8L) elements(pair$dtype, n)
  else if (kind == 9L) elements(pick(dtypes), n)
  else if (kind == 10L) pick(list(1.5, 300, -1, NA, NaN, "abcdef", 1e300, 2^31, TRUE, 1i, NULL, list(1), as.raw(1), 3L))
  else if (kind == 11L) copy(elements(pair$dtype, max(n, 1L)))
  else quote(x)
}

far <- function(subs) any(vapply(subs, function(s) is.numeric(s <- plain(s)) && any(is.finite(s) & s > 1e6), NA))

# The state after the same assignment to a plain value, in the array's own type, or NULL where the call must fail.
assign <- function() {
  s <- subscripts(before)
  value <- assign_values()
  double <- chance(0.1)
  call <- as.call(list(quote(`<-`), as.call(c(if (double) quote(`[[`) else quote(`[`), quote(x), fill_gaps(s$args))), value))
  held <- pair$x
  plain_value <- if (is.symbol(value)) before else if (is_shared_array(value)) value[] else value
  there <- list2env(list(x = before), parent = globalenv())
  base <- if (!far(s$args)) outcome(plain_call(call), there)
          else list(value = simpleError("R would make a vector of gigabytes"), failed = TRUE, warned = FALSE)
  ours <- outcome(call, list2env(list(x = held), parent = globalenv()))
  now <- unshare(held)
  good <- fits(pair$dtype, plain_value)
  empty <- length(before) == 0L && length(plain_value) == 0L
  if (ours$failed) {
    if (!identical(now, before)) report("an error changed the array", call, now, before)
    if (!base$failed && good && !s$beyond && !empty && length(there$x) == length(before)) report("only ours fails", call, ours, base)
    return(invisible())
  }
  want <- there$x
  meant <- pair$dtype == "u1" && is.raw(plain_value) || is.null(plain_value) && identical(now, before)
  if (base$failed && !meant) report("only R's fails", call, ours, base)
  else if (base$failed) NULL
  else if (s$beyond && length(want) != length(before)) report("no error", call, ours, base)
  else {
    if (length(want) != length(before)) { # R makes the vector longer for FALSE, too
      want <- want[seq_along(before)]
      attributes(want) <- attributes(before)
    }
    if (is.atomic(want)) suppressWarnings(storage.mode(want) <- mode_of(pair$dtype))
    if (pair$dtype == "f4" && is.double(want)) want[] <- round_f4(want)
    if (!identical(one_na(now), one_na(want))) report("values differ", call, now, want)
    else if (ours$warned != base$warned && good) report("only one warns", call, ours, base)
  }
  before <<- now
}
one_na <- function(v) {
  if (is.complex(v)) v[is.na(v)] <- NA
  v
}
round_f4 <- function(v) {
  single <- !is.na(v) & is.finite(v)
  v[single] <- readBin(writeBin(as.vector(v[single]), raw(), size = 4L), "double", sum(single), size = 4L)
  v
}

binary <- c("+", "-", "*", "/", "^", "%%", "%/%", "==", "!=", "<", ">", "<=", ">=", "&", "|")
arithmetic <- function() {
  other <- switch(sample.int(5L, 1L), quote(x), elements(pick(dtypes[1:11]), 1L), elements(pair$dtype, pick(c(0L, 2L, 3L, length(before)))),
                  pick(list(2L, 2, -1, TRUE, NA, 0, 1i, "a", NULL)), array(elements("f8", length(before)), dim(before) %||% length(before)))
  op <- as.name(pick(binary))
  call <- if (chance(0.1)) as.call(list(as.name(pick(c("-", "+", "!"))), quote(x))) else if (chance(0.5)) as.call(list(op, quote(x), other))
          else as.call(list(op, other, quote(x)))
  agree(call)
}

reductions <- c("sum", "prod", "min", "max", "range", "any", "all", "mean")
reduce <- function() {
  f <- pick(reductions)
  call <- as.call(c(list(as.name(f), quote(x)), if (chance(0.3)) list(na.rm = TRUE),
                    if (f != "mean" && chance(0.2)) list(pick(list(1, 2L, TRUE, NA)))))
  agree(call, same = near)
}

functions <- list(quote(length(x)), quote(dim(x)), quote(names(x)), quote(dimnames(x)), quote(is.na(x)), quote(anyNA(x)), quote(rev(x)),
                  quote(sort(x)), quote(sort(x, decreasing = TRUE)), quote(order(x)), quote(order(x, decreasing = TRUE, na.last = NA)),
                  quote(unique(x)), quote(duplicated(x)), quote(head(x, 3)), quote(tail(x, 2)), quote(t(x)), quote(aperm(x)),
                  quote(as.vector(x)), quote(as.numeric(x)), quote(as.character(x)), quote(as.logical(x)), quote(as.integer(x)),
                  quote(c(x, x)),
                  quote(rep(x, 2)), quote(abs(x)), quote(sqrt(x)), quote(floor(x)), quote(round(x, 1)), quote(cumsum(x)), quote(exp(x)),
                  quote(as.list(x)), quote(x %in% 1), quote(median(x)), quote(is.numeric(x)), quote(sign(x)), quote(nchar(as.character(x))),
                  quote(rank(x)), quote(as.matrix(x)), quote(lapply(x, identity)), quote(diff(x)), quote(as.array(x)), quote(as.complex(x)),
                  quote(cummax(x)), quote(trunc(x)), quote(is.matrix(x)), quote(quantile(x, 0.3)), quote(cbind(x)), quote(rbind(x)))
apply_function <- function() {
  f <- pick(functions)
  agree(f, same = near, may_fail = pair$dtype == "raw")
}

# ---- classed vectors: factors, dates, times, differences, 64-bit integers ----

classes <- c("factor", "ordered", "Date", "day", "POSIXct", "difftime", if (requireNamespace("bit64", quietly = TRUE)) "integer64")
classed <- function(class, n) switch(class,
  factor = factor(sample(c("a", "b", "", "\u00e9", if (chance(0.3)) NA), n, TRUE), levels = sample(c("a", "b", "c", "", "\u00e9"))),
  ordered = factor(sample(c("lo", "mid", "hi", if (chance(0.3)) NA), n, TRUE), levels = c("lo", "mid", "hi", "top"), ordered = TRUE),
  Date = as.Date(sample(c(0, 1, -1, 18262, 19000.5, if (chance(0.3)) NA), n, TRUE), origin = "1970-01-01"),
  day = structure(sample(c(0L, 1L, -400L, 20000L, if (chance(0.3)) NA), n, TRUE), class = "Date"),
  POSIXct = as.POSIXct(sample(c(0, 1.5, 1e9, -1e8, if (chance(0.3)) NA), n, TRUE), origin = "1970-01-01",
                       tz = pick(c("UTC", "Europe/Berlin"))),
  difftime = as.difftime(sample(c(0, 1, 90, -3.5, if (chance(0.3)) NA), n, TRUE), units = pick(c("secs", "mins", "days"))),
  integer64 = bit64::as.integer64(sample(c("0", "1", "-7", "9007199254740993", "-9223372036854775807", if (chance(0.3)) NA), n, TRUE)))

new_classed <- function() {
  class <- pick(classes)
  v <- classed(class, sample(c(0:6, 30L), 1L))
  if (chance(0.2)) names(v) <- labels(length(v))
  list(x = copy(v), v = v, dtype = class)
}

# R makes doubles of whole days where it computes with them; an array keeps its dtype.
same_deep <- function(a, b) identical(a <- unshare(a), b) || pair$dtype == "day" && isTRUE(all.equal(a, b))
same_near <- function(a, b) same_deep(a, b) || isTRUE(all.equal(unshare(a), b, tolerance = 1e-12))

of_class <- alist(
  levels(x), nlevels(x), as.character(x), as.integer(x), as.numeric(x), table(x), summary(x), sort(x), order(x), unique(x),
  duplicated(x), rev(x), rep(x, 2), rep(x, each = 2), rep_len(x, 3), c(x, x), c(x, x[1L]), head(x, 2), tail(x, 2), is.na(x), anyNA(x),
  format(x), range(x), min(x), max(x), mean(x), median(x), diff(x), split(seq_along(x), x), tapply(seq_along(x), x, sum),
  droplevels(x), factor(x), x %in% x[1L], match(x, rev(x)), is.numeric(x), ifelse(is.na(x), 0, 1), paste(x),
  paste0("a", x, collapse = "-"), data.frame(v = x), list(x), as.list(x), lapply(x, identity), sapply(x, as.character),
  vapply(x, is.na, NA), xtfrm(x), rank(x), which(is.na(x)), range(x, na.rm = TRUE), cut(x, 3), findInterval(x, sort(x)), seq_along(x),
  length(x), names(x), dim(x), toupper(x), weekdays(x), months(x), julian(x), trunc(x), round(x), as.Date(x), as.POSIXct(x),
  as.POSIXlt(x), units(x), sum(x), cumsum(x), abs(x), -x, !x, as.logical(x), as.vector(x), is.element("a", x), setdiff(x, x[1L]),
  union(x, x), outer(seq_along(x), seq_along(x)), expand.grid(x, 1:2), interaction(x, x), relevel(x, "a"),
  merge(data.frame(k = x), data.frame(k = x)), by(data.frame(i = seq_along(x)), x, nrow),
  unsplit(split(x, seq_along(x)), seq_along(x)), all.equal(x, x), identical(x, x), as.factor(x), as.ordered(x), addNA(x),
  levels(factor(x)), mapply(function(e) e, x), Reduce(c, x), Map(identity, x), do.call(c, as.list(x)), is.vector(x), is.atomic(x),
  tabulate(x), strftime(x), OlsonNames()[0], as.numeric(x, units = "secs"), quantile(x, type = 1, na.rm = TRUE), rle(as.character(x)),
  switch(as.character(x[1L]), a = 1, 2), model.matrix(~x), nchar(format(x)), print(x), array(x), matrix(x, 1L), as.data.frame(x),
  stack(list(k = x)), subset(x, !is.na(x)), na.omit(x), rev(levels(x)), Filter(Negate(is.na), x), as.matrix(x), t(x), sprintf("%s", x),
  toString(x), trimws(x), cat(format(x)), range(order(x)), max(c(x, x), na.rm = TRUE), pmin(x, x), pmax(x, x[1L]),
  seq(x[1L], by = 1, length.out = 3))

classed_values <- function() {
  n <- pick(c(0L, 1L, 1L, 1L, 2L, length(before)))
  switch(sample.int(5L, 1L), classed(pair$dtype, n), classed(pair$dtype, n), classed(pick(classes), n),
         pick(list(NA, "a", "absent", 1L, 2.5, "2020-02-02", NULL, TRUE, list(1))), copy(classed(pair$dtype, max(n, 1L))))
}

# An assignment. An array takes numbers of whatever class as they are, and refuses what would make another vector of it.
assign_classed <- function() {
  s <- subscripts(before)
  call <- as.call(list(quote(`<-`), as.call(c(quote(`[`), quote(x), fill_gaps(s$args))), classed_values()))
  if (far(s$args)) return(invisible())
  value <- plain(call[[3L]])
  if (is.factor(before) && is.object(value) && !is.factor(value)) return(invisible()) # R 4.6 takes NA of a date for its first level
  there <- list2env(list(x = before), parent = globalenv())
  base <- outcome(plain_call(call), there)
  ours <- outcome(call, list2env(list(x = pair$x), parent = globalenv()))
  now <- unshare(pair$x)
  if (ours$failed && !identical(now, before)) report("an error changed the array", call, now, before)
  else if (ours$failed && !base$failed && !s$beyond && length(before) && length(value) && identical(class(value), class(before)) &&
           typeof(value) == typeof(before) && identical(attributes(there$x), attributes(before)))
    report("only ours fails", call, ours, base)
  else if (!ours$failed && base$failed && !identical(now, before) && (is.factor(value) || !is.numeric(unclass(value))))
    report("only R's fails", call, ours, base)
  else if (!ours$failed && !base$failed && identical(class(there$x), class(before)) &&
           length(there$x) == length(before) && !same_deep(now, there$x))
    report("values differ", call, now, there$x)
  before <<- now
}

# Subscripts that bit64 counts in its own way: a zero beside NA, fractions.
odd_for_bit64 <- function(s) anyNA(s) || is.numeric(s) && any(s != trunc(s))

read_classed <- function() {
  s <- subscripts(before)
  if (pair$dtype == "integer64" && odd_for_bit64(unlist(lapply(s$args, plain)))) return(invisible())
  agree(as.call(c(quote(`[`), quote(x), fill_gaps(s$args))), may_fail = s$beyond, same = same_deep)
}
compare_classed <- function() {
  other <- classed_values()
  if (is.null(other) && pair$dtype == "integer64") return(invisible()) # bit64 reads its numbers all the same
  op <- as.name(pick(binary))
  first <- chance(0.5) || inherits(other, "integer64") # whose methods, from bit64 4.6 on, come before those of the other side and refuse it
  agree(if (first) as.call(list(op, quote(x), other)) else as.call(list(op, other, quote(x))), same = same_near)
}
# bit64 does not order its numbers as such for order().
agree_of_class <- function() {
  f <- pick(of_class)
  if (pair$dtype == "integer64" && any(c("order", "xtfrm", "rank") %in% all.names(f))) return(invisible())
  agree(f, same = same_near, may_fail = !length(before) && grepl("1L", deparse(f)[1L], fixed = TRUE)) # reads out of bounds
}
run_classed <- function() {
  pair <<- new_classed()
  before <<- unshare(pair$x)
  if (!identical(before, pair$v)) report("the array is not what was put into it", quote(x), before, pair$v)
  for (step in 1:8) switch(sample.int(5L, 1L), read_classed(), assign_classed(), compare_classed(),
                           capture.output(agree_of_class()), agree_of_class())
  if (!identical(unshare(pair$x), before)) report("a call that reads wrote", quote(x), unshare(pair$x), before)
}

# ---- the loop ----

fuzz_loop(function() {
  if (chance(0.2)) return(run_classed())
  pair <<- new_pair()
  before <<- unshare(pair$x)
  if (!identical(before, pair$v)) report("the array is not what was put into it", quote(x), before, pair$v)
  for (step in 1:8) switch(sample.int(6L, 1L), read(), read(), assign(), assign(), arithmetic(),
                           if (chance(0.5)) reduce() else apply_function())
  if (!identical(unshare(pair$x), before)) report("a call that reads wrote", quote(x), unshare(pair$x), before)
})
fuzz_end()
