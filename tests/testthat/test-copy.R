same <- function(a) expect_identical(copy(a)[], a)

test_that("vectors come back as they were", {
  same(c(1.5, NA, NaN, Inf, -0))
  same(c(3L, NA, -.Machine$integer.max))
  same(c(TRUE, NA, FALSE))
  same(c(1+2i, NA, complex(real = NaN, imaginary = 1)))
  same(as.raw(0:255))
  same(c("a", NA, "", "\u00e9t\u00e9"))
  same(character(0))
  same(numeric(0))
  same(1:100000)
  same(rnorm(1e5))
})

test_that("NA stays apart from NaN, bit for bit", {
  x <- copy(c(NA, NaN))[]
  expect_identical(is.nan(x), c(FALSE, TRUE))
})

test_that("names, dim and dimnames are kept", {
  same(c(a = 1, b = 2))
  same(matrix(1:6, 2))
  same(matrix(1:6, 2, dimnames = list(c("u", "v"), NULL)))
  same(array(runif(24), c(2, 3, 4), list(NULL, letters[1:3], NULL)))
  same(array(1:3, 3))
  same(matrix(numeric(0), 0, 3))
})

test_that("factors, dates, times and time differences keep class and attributes", {
  same(factor(c("x", "y", NA)))
  same(ordered(c("lo", "hi"), levels = c("lo", "hi")))
  same(as.Date("2024-02-29") + 0:3)
  same(as.POSIXct("2020-01-01", tz = "UTC") + 0:3)
  same(as.POSIXct("2020-01-01", tz = "Asia/Tokyo"))
  same(as.difftime(c(1, 2), units = "hours"))
})

test_that("integer64 keeps its values", {
  skip_if_not_installed("bit64")
  x <- bit64::as.integer64(c("1", "9007199254740993", NA))
  y <- copy(x)
  expect_identical(dtype(y), "i8")
  expect_identical(unclass(y[]), unclass(x))
  expect_s3_class(y[], "integer64")
})

test_that("strings get the width of the longest one in bytes", {
  expect_identical(dtype(copy(c("a", "abc"))), "S3")
  expect_identical(dtype(copy("\u00e9")), "S2")
  expect_identical(dtype(copy(iconv("\u00e9", "UTF-8", "latin1"))), "S1")
  expect_identical(dtype(copy(c(NA_character_, ""))), "S1")
  expect_identical(dtype(c("a", iconv("\u00e9", "UTF-8", "latin1"), "\u00e9\u00e9")), "S4")
})

# Strings of all encodings: bytes that R took from files and sockets, valid or not.
texts <- function() {
  string <- function(bytes, encoding) {
    s <- rawToChar(as.raw(bytes))
    Encoding(s) <- encoding
    s
  }
  list(ascii = "abc", empty = "", utf8 = string(c(0xc3, 0xa9, 0x74), "UTF-8"), latin1 = string(c(0x63, 0xe9), "latin1"),
       latin1_ff = string(c(0xff, 0x61), "latin1"), bytes = string(c(0x63, 0xe9), "bytes"), bytes_utf8 = string(c(0xc3, 0xa9), "bytes"),
       bytes_ff = string(0xff, "bytes"), marked_wrongly = string(c(0xff, 0x61), "UTF-8"), broken = string(c(0x63, 0xe9), "unknown"),
       native = string(c(0xc3, 0xa9), "unknown"), missing = NA_character_)
}
same_text <- function(a, b) {
  if (is.na(a) || is.na(b)) is.na(a) && is.na(b) else identical(charToRaw(a), charToRaw(b)) && Encoding(a) == Encoding(b)
}
# Names of the texts that do not come back as they were, by copy() alone and together, assignment, view and file.
changed_texts <- function(texts, same) {
  v <- unlist(texts)
  # in a UTF-8 session text of unknown encoding is UTF-8
  mixed <- v[!(names(v) == "native" & l10n_info()[["UTF-8"]])]
  file <- tempfile()
  x <- empty(length(mixed), "S9")
  x[] <- unname(mixed)
  y <- empty(length(mixed), "S9000")
  for (i in seq_along(mixed)) y[[i]] <- mixed[[i]]
  m <- memmap(file, "S9", length(mixed), "w+")
  m[rev(seq_along(mixed))] <- rev(unname(mixed))
  read <- list(copy(mixed)[], shared_view(copy(mixed)), x[], y[], m[], shared_view(m), copy(m)[])
  bad <- unlist(lapply(read, function(r) names(mixed)[!mapply(same, mixed, r)]))
  unlink(file)
  c(bad, names(v)[!mapply(function(s) same(copy(s)[], s), v)])
}

test_that("text is kept byte for byte with its encoding", {
  expect_identical(changed_texts(texts(), same_text), character())
})

test_that("text is kept byte for byte in the C locale too, and argsort() orders it as order() does there", {
  r <- run_script({
    v <- c("\xc3\xa9", "z", "a", "\xe9", NA)
    answer(list(changed_texts(texts(), same_text), argsort(v), argsort(copy(v)), order(v), dtype(copy(v))))
  }, env = c(LC_ALL = "C"), vars = list(changed_texts = changed_texts, texts = texts, same_text = same_text))
  expect_script_ok(r)
  expect_identical(r$value[[1L]], character())
  expect_identical(r$value[[2L]], r$value[[4L]])
  expect_identical(r$value[[3L]], r$value[[4L]])
  expect_identical(r$value[[5L]], "S2")
})

test_that("a string that is too long is named, whatever its bytes", {
  x <- empty(2, "S2")
  x[] <- c("a", "b")
  e <- expect_error(x[] <- c("ab", "\xff\xfe\xfd"), class = "sharedmem_value_error")
  expect_identical(e$position, 2)
  expect_match(conditionMessage(e), "xfd")
  expect_identical(x[], c("a", "b"))
})

test_that("text of several encodings is sorted and searched by what it says", {
  v <- c("\u00e9", iconv("\u00e9a", "UTF-8", "latin1"), "z", iconv("\u00e0", "UTF-8", "latin1"), NA)
  x <- copy(v)
  expect_identical(argsort(x), c(3L, 4L, 1L, 2L, 5L))
  expect_identical(searchsorted(copy(v[c(3, 4, 1, 2)]), "\u00e9"), 3L)
})

test_that("wide strings take no more memory than their text", {
  x <- copy(c(strrep("a", 3e6), "x"))
  y <- empty(2, "S30000000")
  invisible(gc(reset = TRUE))
  before <- gc()[2L, 2L]
  x[2] <- "hello"
  y[2] <- "hello"
  expect_identical(c(x[2], y[2]), c("hello", "hello"))
  invisible(copy(y))
  expect_lt(gc()[2L, 6L] - before, 8)
})

test_that("a shared array gives an independent one", {
  x <- copy(c(a = 1, b = 2))
  y <- copy(x)
  y[1] <- 9
  expect_identical(x[], c(a = 1, b = 2))
  expect_identical(y[], c(a = 9, b = 2))
  big <- copy(as.double(1:1e5))
  expect_identical(copy(big)[], as.double(1:1e5))
})

test_that("the copy is independent of the original", {
  a <- c(1, 2, 3)
  x <- copy(a)
  x[2] <- 7
  expect_identical(a, c(1, 2, 3))
})

test_that("a data frame or list keeps its shape, with shared columns", {
  d <- data.frame(n = 1:3, s = c("x", "yy", NA), f = factor(c("u", "v", "u")))
  s <- copy(d)
  expect_s3_class(s, "data.frame")
  expect_identical(names(s), names(d))
  expect_identical(attr(s, "row.names"), attr(d, "row.names"))
  for (k in names(d)) {
    expect_true(is_shared(s[[k]]))
    expect_identical(s[[k]][], d[[k]])
  }
  l <- list(a = 1:3, b = list(c = "z", d = NULL), e = sum, f = NULL)
  m <- copy(l)
  expect_identical(names(m), names(l))
  expect_identical(m$a[], l$a)
  expect_identical(m$b$c[], "z")
  expect_true("d" %in% names(m$b))
  expect_identical(m$e, sum)
  expect_identical(l, list(a = 1:3, b = list(c = "z", d = NULL), e = sum, f = NULL))
})

test_that("what cannot be kept or shared is refused", {
  e <- expect_error(copy(NULL), class = "sharedmem_argument_error")
  expect_identical(e$arg, "a")
  for (a in list(sum, globalenv(), quote(x), quote(x + y), as.POSIXlt(Sys.time()), ts(1:3), structure(1:3, mine = 1),
                 structure(1, class = "unknown"), table(1:3)))
    expect_error(copy(a), class = "sharedmem_argument_error")
})

test_that("what cannot be shared says what to do", {
  for (bad in list(list(ts(1:3), "as.vector"), list(table(c("a", "b")), "unclass"), list(as.POSIXlt(Sys.time()), "as.POSIXct")))
    expect_error(copy(bad[[1L]]), bad[[2L]], class = "sharedmem_argument_error")
  x <- copy(1:10)
  expect_error(x[11] <- 1L, "empty\\(\\)", class = "sharedmem_index_error")
  expect_error(x["a"], "no names", class = "sharedmem_index_error")
  expect_error(x["a"] <- 1L, "no names", class = "sharedmem_index_error")
})
