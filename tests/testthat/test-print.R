test_that("print() shows dtype, shape, bytes and first values", {
  x <- empty(c(2, 3))
  x[] <- 1:6
  expect_snapshot(print(x))
  expect_snapshot(print(empty(integer(0), "i4")))
  expect_snapshot(print(empty(0)))
  expect_snapshot(print(copy(c(a = 1L, b = NA))))
  expect_snapshot(print(copy(c("one", NA))))
})

test_that("print() and str() read and show little of a large array", {
  x <- empty(3e7, "u1")
  out <- capture.output(print(x))
  expect_lt(length(out), 6)
  expect_match(out[1], "u1 \\[30000000\\]")
  expect_lt(length(capture.output(str(x))), 2)
  m <- empty(c(1e5, 300), "u1")
  expect_lt(length(capture.output(print(m))), 15)
  expect_lt(max(nchar(capture.output(print(m)))), 200)
  expect_length(capture.output(print(copy(matrix(1:60, 30)), n = 5)), 8) # what it is, names of columns, 5 rows, how many more
  s <- empty(2, "S100000")
  s[1] <- strrep("x", 1e5)
  expect_lt(sum(nchar(capture.output(print(s)))), 500)
  expect_lt(sum(nchar(capture.output(str(s)))), 500)
  a <- empty(c(20, 30, 40))
  expect_lt(length(capture.output(print(a))), 8)
})

test_that("str() shows the first values of every kind", {
  expect_snapshot(str(copy(c(1.5, 2))))
  expect_snapshot(str(copy(c("a", NA))))
  expect_snapshot(str(copy(factor("k"))))
  expect_snapshot(str(list(x = empty(c(2, 2)))))
  expect_output(str(empty(0)), "f8")
})

test_that("format() gives what R gives", {
  expect_identical(format(copy(c(1.5, NA))), format(c(1.5, NA)))
  expect_identical(format(copy(c(1, 2)), nsmall = 2), format(c(1, 2), nsmall = 2))
})

test_that("R's own look into an object names a shared array", {
  expect_output(.Internal(inspect(copy(1:3))), "shared_array")
})

test_that("back ends, clusters and their nodes say what they are", {
  expect_output(print(ServerBackend), "ServerBackend", fixed = TRUE)
  expect_output(print(ThreadBackend), "ThreadBackend", fixed = TRUE)
  cl <- make_shared_cluster(2)
  expect_output(print(cl), "<sharedmem cluster of 2 nodes: pids [0-9]+ [0-9]+>")
  expect_output(print(cl[[1]]), "<node 1 of a sharedmem cluster>", fixed = TRUE)
  parallel::stopCluster(cl)
  expect_output(print(cl), "<sharedmem cluster of 2 nodes: stopped>", fixed = TRUE)
})
