test_that("as_shared() and unshare() lead there and back", {
  for (v in list(1:3, c(a = 1, b = NA), matrix(1:4 + 0, 2, dimnames = list(c("x", "y"), NULL)), factor(c("u", "v")),
                 Sys.Date(), c("p", NA)))
    expect_identical(unshare(as_shared(v)), v)
  expect_identical(unshare(as_shared(mtcars)), mtcars)
  deep <- list(a = list(copy(1:3), f = mean), b = "text", c = copy(data.frame(n = 1:2)))
  expect_identical(unshare(deep), list(a = list(1:3, f = mean), b = "text", c = data.frame(n = 1:2)))
  expect_identical(unshare(NULL), NULL)
  expect_identical(unshare(5), 5)
})

test_that("data.table's copy() does not stand in the way", {
  skip_if_not_installed("data.table")
  for (order in list(c("sharedmem", "data.table"), c("data.table", "sharedmem"))) {
    result <- run_script({
      suppressMessages(for (p in order) library(p, character.only = TRUE))
      x <- as_shared(matrix(0, 3, 2))
      answer(c(is_shared_array(x), isTRUE(all.equal(unshare(as_shared(mtcars)), mtcars))))
    }, vars = list(order = order), package = FALSE)
    expect_identical(result$value, c(TRUE, TRUE))
  }
})
