test_that("dtypes that R lacks are Arrow arrays over the same memory", {
  skip_if_not_installed("nanoarrow")
  types <- c(f8 = "double", f4 = "float", i1 = "int8", i2 = "int16", i4 = "int32", i8 = "int64", u1 = "uint8", u2 = "uint16", u4 = "uint32",
             raw = "uint8")
  for (dt in names(types)) for (n in c(0L, 5L, 50000L)) {
    x <- empty(n, dt)
    if (n) x[] <- if (dt == "raw") as.raw(seq_len(n) %% 100) else seq_len(n) %% 100
    a <- nanoarrow::as_nanoarrow_array(x)
    type <- getExportedValue("nanoarrow", paste0("na_", types[[dt]]))
    expect_identical(nanoarrow::infer_nanoarrow_schema(a)$format, type()$format)
    expect_equal(as.numeric(nanoarrow::convert_array(a)), as.numeric(x[]))
    expect_identical(as.integer(a$length), n)
    if (n == 0L) next
    x[n] <- if (dt == "raw") as.raw(7) else 7
    expect_equal(as.numeric(nanoarrow::convert_array(a))[n], 7)
  }
})

test_that("strings are fixed-size binary; what has NA, is of bits or has a class goes as R vectors do", {
  skip_if_not_installed("nanoarrow")
  x <- copy(c("ab", "c"))
  a <- nanoarrow::as_nanoarrow_array(x)
  expect_identical(nanoarrow::infer_nanoarrow_schema(a)$format, "w:2")
  expect_identical(unlist(nanoarrow::convert_buffer(a$buffers[[2L]])), as.raw(c(0x61, 0x62, 0x63, 0)))
  convert <- function(x) nanoarrow::convert_array(nanoarrow::as_nanoarrow_array(copy(x)))
  for (v in list(c(1L, NA), c(TRUE, NA, FALSE), c("a", NA), as.Date("2020-01-01"))) expect_equal(convert(v), v)
  expect_identical(as.character(convert(factor(c("u", "v")))), c("u", "v"))
  expect_identical(nanoarrow::convert_array(nanoarrow::as_nanoarrow_array(empty(c(2, 3)))), numeric(6))
})

test_that("the Arrow array keeps the memory alive", {
  skip_if_not_installed("nanoarrow")
  x <- empty(1e5, "f4")
  x[] <- 2
  a <- nanoarrow::as_nanoarrow_array(x)
  rm(x)
  gc()
  gc()
  y <- empty(1e5, "f4")
  expect_identical(sum(nanoarrow::convert_array(a)), 2e5)
})
