# Functions of base R that take another branch for a handle than for a vector: is.factor() and its like are no generics.

columns <- function() list(l = c(TRUE, NA, FALSE), s = c("a,b", "c\"d", NA), f = factor(c("u,v", "w", "u,v")), o = factor(c("x", "z", "y"),
  ordered = TRUE), d = as.Date(c("2020-01-01", NA, "2021-02-03")), n = c(0.1, NA, 3), z = c(1i, 2, NA))

frame_of <- function(columns) {
  d <- data.frame(i = 3:1)
  for (n in names(columns)) d[[n]] <- columns[[n]]
  d
}

text_of <- function(expr) capture.output(expr)

test_that("data frames with shared columns go through base R as those with ordinary ones", {
  for (names in list("l", "s", c("l", "z"), c("s", "f", "d"), c("n", "l", "f"), c("o", "n"))) {
    want <- frame_of(columns()[names])
    d <- frame_of(copy(columns()[names]))
    expect_true(is_shared(d[[2]]))
    expect_identical(as.matrix(d), as.matrix(want))
    expect_identical(t(d), t(want))
    expect_identical(apply(d, 1, paste, collapse = "|"), apply(want, 1, paste, collapse = "|"))
    expect_identical(rbind(d, d), rbind(want, want))
    expect_identical(rbind(d, want), rbind(want, want))
    expect_identical(do.call(rbind, split(d, d$i)), do.call(rbind, split(want, want$i)))
    expect_identical(text_of(utils::write.csv(d)), text_of(utils::write.csv(want)))
    expect_identical(text_of(utils::write.table(d, row.names = FALSE)), text_of(utils::write.table(want, row.names = FALSE)))
    expect_identical(text_of(utils::write.csv(d, quote = FALSE)), text_of(utils::write.csv(want, quote = FALSE)))
    expect_true(is_shared(d[[2]]))
  }
  m <- matrix(c("a", "b,c"), 1)
  expect_identical(text_of(utils::write.csv(copy(m))), text_of(utils::write.csv(m)))
})

test_that("a formula takes a factor for a factor, text for text, and each weight for what it is", {
  plain <- data.frame(y = c(2, 1, 4, 3, 7), f = factor(c("b", "a", "b", "c", "a")), s = c("p", "q", "p", "q", "q"),
    l = c(TRUE, FALSE, NA, TRUE, FALSE), x = c(1, 2, 3, 4, 5.5), w = c(1, 2, 1, 2, 1), d = as.Date("2020-01-01") + 0:4)
  d <- copy(plain)
  for (f in list(y ~ f, y ~ s, y ~ l, y ~ f + x, x ~ ordered(f), y ~ poly(x, 2))) {
    expect_equal(coef(lm(f, d)), coef(lm(f, plain)))
    expect_equal(model.matrix(f, d), model.matrix(f, plain))
    expect_equal(coef(lm(f, d, weights = w)), coef(lm(f, plain, weights = w)))
    expect_identical(attr(terms(model.frame(f, d)), "dataClasses"), attr(terms(model.frame(f, plain)), "dataClasses"))
  }
  for (action in list(na.omit, na.pass, na.exclude))
    expect_equal(unshare(model.frame(y ~ f + l + d, d, na.action = action)), model.frame(y ~ f + l + d, plain, na.action = action))
  expect_equal(aggregate(y ~ f, d, sum), aggregate(y ~ f, plain, sum))
  expect_equal(c(xtabs(~ f + s, d)), c(xtabs(~ f + s, plain)))
  y <- d$y
  f <- d$f
  expect_equal(unname(coef(glm(y ~ f))), unname(coef(glm(y ~ f, data = plain))))
  expect_equal(predict(lm(y ~ x, plain), plain[1:2, ]), predict(lm(y ~ x, d), plain[1:2, ]))
})

test_that("what a function of base R keeps for its own kind of vector, it keeps for a shared one", {
  o <- factor(c("a", "c", "b"), ordered = TRUE)
  x <- copy(o)
  expect_identical(factor(x), o)
  expect_identical(as.factor(x), as.factor(o))
  expect_identical(factor(x, levels = c("c", "b", "a")), factor(o, levels = c("c", "b", "a")))
  expect_identical(reorder(x, 3:1), reorder(o, 3:1))
  expect_identical(relevel(copy(factor(c("a", "b"))), "b"), relevel(factor(c("a", "b")), "b"))
  text <- matrix(c("ab", "b", "c", "d"), 2, dimnames = list(c("r", "s"), NULL))
  s <- copy(text)
  named <- copy(c(x = "p", y = "q"))
  for (f in list(toupper, function(x) sub("a", "b", x), function(x) substr(x, 1, 1), function(x) chartr("a", "z", x), trimws, casefold))
    expect_identical(f(s), f(text))
  expect_identical(gsub("p", "z", named), gsub("p", "z", named[]))
  expect_identical(as.character(named), c("p", "q"))
  expect_identical(mapply(nchar, copy(c("a", "bb"))), mapply(nchar, c("a", "bb")))
  expect_identical(Map(identity, copy(c("a", "bb"))), Map(identity, c("a", "bb")))
  table <- matrix(1:4, 2, dimnames = list(c("a", "b"), NULL))
  expect_identical(marginSums(copy(table), 1), marginSums(table, 1))
  expect_identical(as.difftime(copy(c(1, 2)), units = "secs"), as.difftime(c(1, 2), units = "secs"))
  expect_true(is_shared(named) && is_shared(x) && is_shared(s)) # the caller's are as they were
})

test_that("all.equal() compares what is expected with a shared array, too", {
  for (v in list(c(1, 2.5, NA), c(a = 1, b = 2), matrix(1:4, 2), c("a", NA), c(TRUE, NA), 1i)) {
    expect_identical(all.equal(v, copy(v)), TRUE)
    expect_identical(all.equal(list(p = v), list(p = copy(v))), TRUE)
  }
  expect_identical(all.equal(c(1, 2), copy(c(1, 3))), all.equal(c(1, 2), c(1, 3)))
  expect_identical(all.equal(c(1, 2), copy(c(a = 1, b = 2))), all.equal(c(1, 2), c(a = 1, b = 2)))
  expect_identical(all.equal("a", copy(1:2)), all.equal("a", 1:2))
})

test_that("deparse() gives a label where a call holds a handle, and never zeros for values", {
  x <- copy(c(1, 2))
  user <- list2env(list(x = x), parent = globalenv())
  for (code in expression(deparse(x), deparse(list(x)), deparse1(x), dput(x), dump("x", tempfile(), envir = environment())))
    expect_error(eval(code, user), class = "sharedmem_elements_error")
  expect_type(do.call(function(a) deparse(substitute(a)), list(x)), "character")
  expect_type(do.call(function(a) deparse1(substitute(a)), list(x)), "character")
  expect_equal(do.call(t.test, list(x))$statistic, t.test(x[])$statistic)
})

test_that("a function keeps the expression of an argument that has become values", {
  x <- copy(c(1, 2, 5))
  d <- list(x = x)
  expect_identical(wilcox.test(x, exact = FALSE)$data.name, "x")
  expect_identical(wilcox.test(d$x, exact = FALSE)$data.name, "d$x")
  eval(quote(is.numeric(x)))
  expect_true(is_shared(x))
})

test_that("bit64's match() takes shared integer64 by what they are", {
  skip_if_not_installed("bit64")
  v <- bit64::as.integer64(c("9007199254740993", NA, "3"))
  expect_identical(bit64::match(copy(v), v), bit64::match(v, v))
  expect_identical(bit64::`%in%`(copy(v), 3), bit64::`%in%`(v, 3))
})

test_that("new data of predict() may be shared columns of numbers; for factors and matrices it says what to hand over", {
  d <- data.frame(y = c(1, 2, 4, 3, 7), x = c(1, 2, 3.5, 4, 4.5), z = c(TRUE, FALSE, TRUE, TRUE, FALSE))
  d$g <- factor(c("a", "b", "a", "b", "a"))
  shared <- as_shared(d)
  for (f in list(y ~ x, y ~ poly(x, 2), y ~ log(x) + z, y ~ x:z)) {
    fit <- lm(f, d)
    expect_identical(predict(fit, shared), predict(fit, d))
  }
  fit <- glm(z ~ x, binomial, d)
  expect_identical(predict(fit, shared, type = "response"), predict(fit, d, type = "response"))
  fit <- lm(y ~ g, d)
  expect_error(suppressWarnings(predict(fit, shared)), "unshare", class = "sharedmem_argument_error")
  expect_identical(predict(fit, unshare(shared)), predict(fit, d))
  d$m <- matrix(as.double(1:10), 5)
  expect_error(predict(lm(y ~ m, d), as_shared(d)), "`m`", class = "sharedmem_argument_error")
})

test_that("data.matrix() of shared columns is that of their values", {
  d <- data.frame(a = c("u", "v", "u"), b = 1:3, c = c(TRUE, NA, FALSE), e = c(0.5, NA, 2), g = factor(c("x", "y", "x")))
  expect_identical(data.matrix(as_shared(d)), data.matrix(d))
  expect_identical(data.matrix(as_shared(d[c("b", "c")])), data.matrix(d[c("b", "c")]))
})

test_that("what groups by a factor keeps the levels that do not occur, as with an ordinary one", {
  for (f in list(factor(c("a", "b"), levels = c("a", "b", "c")), factor(c("x", NA), levels = c("z", "y", "x"), ordered = TRUE))) {
    g <- copy(f)
    for (by in list(as.factor, as.ordered, factor, ordered, addNA, function(f) unname(table(f)),
                    function(f) unname(table(f, useNA = "always")), function(f) unname(table(f, exclude = "x")),
                    function(f) tapply(1:2, f, sum), function(f) split(1:2, f), function(f) interaction(f, f),
                    function(f) c(base::by(data.frame(v = 1:2), f, function(d) sum(d$v))),
                    function(f) factor(f, levels = c("x", "a")), function(f) c(ftable(f, f)), nlevels, droplevels))
      expect_identical(by(g), by(f))
    d <- data.frame(v = 1:2)
    d$f <- g
    expect_identical(names(split(d, d$f)), levels(f))
  }
})

test_that("sets and matches of shared dates, times, factors and numbers are those of their values", {
  for (v in list(as.Date("2020-01-01") + c(0, 1, 0), as.POSIXct("2020-01-01", tz = "UTC") + c(0, 1, 0), factor(c("a", "b", NA)),
                 as.difftime(c(1, 2, 1), units = "mins"), c(1, 2, NA), 3:1, c(TRUE, NA), c("a", "b", "a"), c(1+0i, 2i), array(1:3, 3))) {
    x <- copy(v)
    w <- v[length(v):2]
    for (f in list(union, setdiff, intersect, is.element, match, `%in%`)) {
      expect_identical(f(x, w), f(v, w))
      expect_identical(f(w, x), f(w, v))
      expect_identical(f(x, copy(w)), f(v, w))
    }
    expect_identical(unshare(x), v)
  }
  expect_identical(copy(c(1+0i, 2i)) %in% 1, c(TRUE, FALSE))
  d <- as.Date("2024-01-01") + c(0:2, NA)
  for (s in list("2024-01-02", c("zz", "2024-01-03"), c("2024-01-03", NA), "19724", "2024/01/02", character())) {
    expect_identical(match(copy(d), s), match(d, s))
    expect_identical(match(s, copy(d)), match(s, d))
    expect_identical(copy(d) %in% copy(s), d %in% s)
    expect_identical(is.element(s, copy(d)), is.element(s, d))
  }
})

test_that("data.frame() makes factors of shared text where it is asked to", {
  for (x in list(c("b", "a", NA), matrix(c("u", "v", "u", "w"), 2))) for (as in c(TRUE, FALSE)) {
    want <- data.frame(x, n = 1, stringsAsFactors = as)
    expect_identical(unshare(data.frame(x = copy(x), n = 1, stringsAsFactors = as)), data.frame(x = x, n = 1, stringsAsFactors = as))
    expect_identical(names(data.frame(copy(x), n = 1, stringsAsFactors = as))[-1L], names(want)[-1L])
  }
})

test_that("what takes a handle for bytes is an error: hexadecimal digits, JSON of a data frame's shared columns", {
  x <- copy(c(1, 2))
  expect_error(format.hexmode(x), "unshare", class = "sharedmem_argument_error")
  expect_error(as.character.octmode(x), "unshare", class = "sharedmem_argument_error")
  expect_identical(is.na(x), c(FALSE, FALSE))
  skip_if_not_installed("jsonlite")
  d <- data.frame(i = 1:2, s = c("a", "b"), d = as.Date("2020-01-01") + 0:1)
  expect_error(jsonlite::toJSON(as_shared(d)), "unshare", class = "sharedmem_argument_error")
  expect_identical(jsonlite::toJSON(unshare(as_shared(d))), jsonlite::toJSON(d))
})
