test_that("a tuple is a list of its values", {
  x <- tuple(1, b = "two", NULL)
  expect_s3_class(x, "sharedmem_tuple", exact = TRUE)
  expect_identical(unclass(x), list(1, b = "two", NULL))
  expect_identical(unclass(tuple()), list())
  expect_output(print(x), "tuple of 3")
  expect_invisible(print(tuple()))
})

test_that("a tuple of one is spread as well", {
  for (np in c(0, 2)) expect_identical(MapReduce(np = np)$map(function(i) tuple(list(i, 2)), 1L, reduce = function(x) x), list(list(1L, 2)))
})

test_that("a tuple without reduce arrives as it was", {
  expect_identical(MapReduce(np = 2)$map(function(i) tuple(i, a = 2), 1:2), list(tuple(1L, a = 2), tuple(2L, a = 2)))
})
