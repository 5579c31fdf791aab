test_that("order and rearrangement give what R gives", {
  set.seed(4)
  for (ref in list(c(3, 1, NA, 2, 1), c(b = 2L, a = 1L, c = 2L), c("b", "a", NA, "\u00e9"), c(TRUE, NA, FALSE), c(2i, 1 + 0i))) {
    x <- copy(ref)
    for (f in list(sort, order, rank, rev, unique, duplicated, anyDuplicated, xtfrm, head, tail, t, function(v) as.vector(table(v))))
      expect_identical(f(x), f(ref), info = deparse(ref))
    expect_identical(sort(x, decreasing = TRUE), sort(ref, decreasing = TRUE))
    expect_identical(sort(x, na.last = TRUE), sort(ref, na.last = TRUE))
    expect_identical(order(x, decreasing = TRUE), order(ref, decreasing = TRUE))
    expect_identical(head(x, -1), head(ref, -1))
    expect_identical(tail(x, 2), tail(ref, 2))
  }
})

test_that("matrices and arrays rearrange as R's", {
  ref <- array(rnorm(24), c(2, 3, 4), list(NULL, letters[1:3], NULL))
  x <- copy(ref)
  expect_identical(aperm(x), aperm(ref))
  expect_identical(aperm(x, c(2, 1, 3)), aperm(ref, c(2, 1, 3)))
  m <- copy(ref[, , 1])
  expect_identical(t(m), t(ref[, , 1]))
  expect_identical(scale(m), scale(ref[, , 1]))
  expect_identical(scale(m, center = FALSE), scale(ref[, , 1], center = FALSE))
  expect_identical(head(m, 1), head(ref[, , 1], 1))
  expect_identical(tail(m, 1), tail(ref[, , 1], 1))
  expect_identical(head(x, c(1, 2, 2)), head(ref, c(1, 2, 2)))
  expect_identical(unique(m), unique(ref[, , 1]))
})

test_that("all.equal() compares values", {
  x <- copy(c(1, 2))
  expect_true(all.equal(x, c(1, 2)))
  expect_true(all.equal(x, copy(c(1, 2))))
  expect_type(all.equal(x, c(1, 3)), "character")
})

test_that("what has no elements has an order of none, whatever its dtype", {
  for (dtype in c("f8", "f4", "i8", "i4", "u1", "u4", "b1", "c16", "S3")) {
    x <- empty(0, dtype)
    for (last in c(NA, TRUE, FALSE)) expect_identical(order(x, na.last = last), integer())
    expect_length(sort(x), 0L)
    expect_length(rank(x), 0L)
    if (dtype == "i8") expect_identical(xtfrm(x), numeric())
  }
})

test_that("rank() of a shared integer64 is that of bit64, with its arguments that of R", {
  skip_if_not_installed("bit64")
  v <- bit64::as.integer64(c(5, NA, -3, 5))
  expect_identical(bit64::rank(copy(v)), bit64::rank(v))
  expect_identical(bit64::rank(copy(v), ties.method = "min"), rank(c(5, NA, -3, 5), ties.method = "min"))
})

test_that("order(method = \"radix\") sorts text as the C locale has it, among several keys, too", {
  for (s in list(c("b", "A", "a", "B", NA), character(), c("\u00e9", "z", "Z"))) for (last in c(TRUE, FALSE, NA)) {
    x <- copy(s)
    n <- rev(seq_along(s))
    expect_identical(order(x, method = "radix", na.last = last), order(s, method = "radix", na.last = last))
    expect_identical(order(x, na.last = last), order(s, na.last = last))
    expect_identical(order(x, n, method = "radix", decreasing = TRUE), order(s, n, method = "radix", decreasing = TRUE))
    expect_identical(order(n, x, method = "radix"), order(n, s, method = "radix"))
  }
})
