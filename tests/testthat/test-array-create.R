test_that("a shape that is no shape is refused, with the argument, what came and what was expected", {
  for (shape in list(-1, c(2, -1), NA, NA_integer_, NaN, 1.5, "3", TRUE, list(2), Inf, quote(a), factor(1), rep(1, 65))) {
    e <- expect_error(empty(shape), class = "sharedmem_argument_error")
    expect_identical(e$arg, "shape")
    expect_s3_class(e, "sharedmem_error")
    expect_type(e$got, "character")
    expect_type(e$expected, "character")
  }
})

test_that("an unknown dtype is refused", {
  for (dtype in list("f9", "S", "S0", "S-1", "", NA_character_, 8, NULL, c("f8", "f8"), "S99999999999")) {
    e <- expect_error(empty(3, dtype), class = "sharedmem_argument_error")
    expect_identical(e$arg, "dtype")
  }
})

test_that("a shape that no machine holds is refused with what was asked", {
  e <- expect_error(empty(1e15), class = "sharedmem_memory_error")
  expect_identical(e$asked, 8e15)
  expect_true(is.numeric(e$available))
  e <- expect_error(empty(c(1e300, 10), "u1"), class = "sharedmem_memory_error")
  expect_identical(e$asked, 1e301)
  expect_error(empty(c(0, 1e300)), class = "sharedmem_argument_error")
})

test_that("extents of every kind give an array of that shape", {
  shape <- function(x) .Call(ffi_array_shape, x)
  environment(shape) <- asNamespace("sharedmem")
  expect_identical(shape(empty(3)), 3)
  expect_identical(shape(empty(integer(0))), numeric(0))
  expect_identical(shape(empty(NULL)), numeric(0))
  expect_identical(shape(empty(c(2L, 0L, 3L))), c(2, 0, 3))
  expect_identical(nbytes(empty(c(2, 0, 3))), 0)
  expect_identical(nbytes(empty(NULL)), 8)
  expect_identical(nbytes(empty(c(5, 7), "c16")), 560)
  expect_identical(shape(empty_like(matrix(1:6, 2))), c(2, 3))
  expect_identical(shape(empty_like(empty(c(4, 5)))), c(4, 5))
  expect_identical(shape(empty_like(empty(NULL))), numeric(0))
  expect_identical(shape(empty_like(list(1, 2, 3))), 3)
  skip_if_not_installed("bit64")
  expect_identical(shape(empty(bit64::as.integer64(c(3, 4)))), c(3, 4))
})

test_that("the dtype of a like array is its own or that of the R type", {
  expect_identical(dtype(empty_like(empty(3, "u2"))), "u2")
  expect_identical(dtype(empty_like(empty(3, "u2"), "f4")), "f4")
  expect_identical(dtype(empty_like(1:3)), "i4")
  expect_identical(dtype(empty_like(TRUE)), "b1")
  expect_identical(dtype(empty_like(raw(2))), "raw")
  expect_identical(dtype(empty_like(1i)), "c16")
  expect_identical(dtype(empty_like(c("a", "abc", NA))), "S3")
  expect_identical(dtype(empty_like(list(1, 2L))), "f8")
  expect_error(empty_like(NULL), class = "sharedmem_argument_error")
  expect_error(empty_like(sum), class = "sharedmem_argument_error")
})

test_that("a new array is zero and full() fills", {
  expect_identical(empty(5)[], numeric(5))
  expect_identical(empty(c(2, 2), "i4")[], matrix(0L, 2, 2))
  expect_identical(full(3, 2.5)[], rep(2.5, 3))
  expect_identical(full(c(2, 2), 1:4, "i4")[], matrix(1:4, 2))
  expect_identical(full_like(1:3, 7)[], rep(7L, 3))
  expect_error(full(3, NULL), class = "sharedmem_argument_error")
  expect_error(full(3, sum), class = "sharedmem_argument_error")
})

test_that("a dtype is known by NumPy's names and typestrings and by R's types, wherever one is taken", {
  spellings <- list(f8 = c("f8", "<f8", "=f8", "float64", "float", "double", "numeric"), f4 = c("<f4", "float32"), i1 = c("|i1", "int8"),
                    i2 = c("<i2", "int16"), i4 = c("=i4", "int32", "integer"), i8 = c("<i8", "int64", "int"), u1 = c("|u1", "uint8"),
                    u2 = c("<u2", "uint16"), u4 = c("<u4", "uint32"), c16 = c("<c16", "complex128", "complex"),
                    b1 = c("|b1", "bool", "logical"),
                    raw = "raw", S5 = c("S5", "|S5"))
  if (.Platform$endian == "big") spellings <- lapply(spellings, function(s) sub("<", ">", s, fixed = TRUE))
  path <- tempfile()
  writeBin(raw(80), path)
  for (code in names(spellings)) for (s in spellings[[code]]) {
    all <- list(empty(2, s), empty_like(1:2, s), if (code != "S5" && code != "raw") full(2, 1, s), memmap(path, s), fromfile(path, s))
    expect_true(all(vapply(Filter(Negate(is.null), all), dtype, "") == code), label = s)
  }
  for (bad in list("f9", ">f8", "<", "", "S0", "float16", "u8", "character", NA_character_, c("f8", "f4"), TRUE))
    for (f in list(function(d) empty(2, d), function(d) full_like(1, 1, d), function(d) memmap(path, d), function(d) fromfile(path, d)))
      expect_error(f(bad), "f8, f4.*S<n>.*float64.*double", class = "sharedmem_argument_error")
  unlink(path)
})
