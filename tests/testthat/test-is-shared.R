test_that("is_shared() knows a shared array from all else", {
  expect_true(is_shared(empty(3)))
  for (x in list(NULL, 1:3, "a", sum, globalenv(), list(empty(3)))) expect_false(is_shared(x))
})

test_that("dtype() gives the NumPy code", {
  for (d in c("f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "c16", "b1", "raw", "S7"))
    expect_identical(dtype(empty(2, d)), d)
  expect_identical(dtype(empty(2, "double")), "f8")
  expect_identical(dtype(empty(2, "integer")), "i4")
  expect_identical(dtype(empty(2, "logical")), "b1")
  expect_error(dtype(sum), class = "sharedmem_argument_error")
})

test_that("nbytes() counts the elements' bytes", {
  size <- c(f8 = 8, f4 = 4, i1 = 1, i2 = 2, i4 = 4, i8 = 8, u1 = 1, u2 = 2, u4 = 4, c16 = 16, b1 = 1, S7 = 7)
  for (d in names(size)) expect_identical(nbytes(empty(c(3, 2), d)), 6 * size[[d]])
  expect_identical(nbytes(1:10), 40)
})
