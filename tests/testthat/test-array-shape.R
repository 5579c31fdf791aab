test_that("dim<- gives a new shape over the same memory and leaves other handles alone", {
  x <- empty(6)
  y <- x
  dim(x) <- c(2, 3)
  expect_identical(dim(x), c(2L, 3L))
  expect_null(dim(y))
  x[2, 3] <- 5
  expect_identical(y[6], 5)
  dim(x) <- NULL
  expect_null(dim(x))
  dim(x) <- 6
  expect_identical(dim(x[2:3]), 2L)
  e <- expect_error(dim(x) <- c(2, 2), class = "sharedmem_argument_error")
  expect_identical(e$arg, "dim")
  expect_error(dim(x) <- c(-1, -6), class = "sharedmem_argument_error")
  expect_error(dim(x) <- "a", class = "sharedmem_argument_error")
  expect_error(dim(x) <- c(NA, 6), class = "sharedmem_argument_error")
})

test_that("names and dimnames belong to a handle, not to the memory", {
  x <- empty(3)
  y <- x
  names(x) <- c("a", "b", "c")
  expect_null(names(y))
  expect_identical(names(x), c("a", "b", "c"))
  names(x)[2] <- "z"
  expect_identical(names(x), c("a", "z", "c"))
  names(x) <- "only"
  expect_identical(names(x), c("only", NA, NA))
  x["only"] <- 4
  expect_identical(y[1], 4)
  names(x) <- NULL
  expect_null(names(x))
  m <- empty(c(2, 2))
  dimnames(m) <- list(A = c("r1", "r2"), NULL)
  expect_identical(dimnames(m), list(A = c("r1", "r2"), NULL))
  rownames(m) <- NULL
  colnames(m) <- c("p", "q")
  expect_identical(colnames(m), c("p", "q"))
  m["p"] |> expect_error(class = "sharedmem_index_error")
  m[, "q"] <- 1
  expect_identical(unname(m[]), matrix(c(0, 0, 1, 1), 2))
  expect_error(dimnames(m) <- list("a", NULL), class = "sharedmem_argument_error")
  expect_error(dimnames(m) <- list(NULL), class = "sharedmem_argument_error")
  expect_error(dimnames(x) <- list(letters[1:3]), class = "sharedmem_argument_error")
  dim(m) <- 4
  expect_null(dimnames(m))
})

test_that("length, nrow, ncol and NROW see the shape", {
  x <- empty(c(3, 0))
  expect_identical(c(length(x), nrow(x), ncol(x), NROW(empty(4))), c(0L, 3L, 0L, 4L))
})

test_that("an array of one extent has its names as dimnames, and they are subscripts", {
  x <- copy(array(1:3, 3))
  names(x) <- c("a", "b", "c")
  expect_identical(dimnames(x), list(c("a", "b", "c")))
  expect_identical(x["b"], array(1:3, 3, list(c("a", "b", "c")))["b"])
  names(x) <- NULL
  expect_null(names(x))
})

test_that("lengths() is that of the values, with their names and extents", {
  values <- list(c(a = 1, b = 2), 1:3, numeric(), matrix(1:4, 2, dimnames = list(c("x", "y"), NULL)), array(1:8, c(2, 2, 2)), c("a", "b"))
  for (v in values) for (named in c(TRUE, FALSE)) expect_identical(lengths(copy(v), named), lengths(v, named))
})
