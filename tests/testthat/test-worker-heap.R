# What a worker frees it keeps and uses again, up to a limit.

skip_if_other_allocator <- function() {
  skip_under_sanitizer()
  skip_if_not(file.exists("/proc/self/stat"), "no /proc")
}

test_that("a vector that a worker has dropped makes room for the next, without fresh pages", {
  skip_if_other_allocator()
  skip_if(readLines("/proc/sys/vm/overcommit_memory") == "2", "commitments are counted")
  skip_if(total_memory() < 2^33, "too little memory for a reserve")
  out <- run_script({
    faults <- function() as.numeric(strsplit(sub("^.*\\) ", "", readLines("/proc/self/stat")), " ", fixed = TRUE)[[1L]][8L])
    fill <- function(n) {
      sum(numeric(n) + 1)
      invisible(gc())
    }
    r <- MapReduce(np = 1)$map(function(n) {
      fill(n)
      before <- faults()
      fill(n)
      faults() - before
    }, 8e6)
    answer(r[[1L]])
  })
  expect_lt(out$value, 8e6 * 8 / 4096 / 4)
})

test_that("what does not fit into the reserve is had all the same", {
  skip_if_other_allocator()
  out <- run_script({
    r <- MapReduce(np = 2)$map(function(i) {
      x <- raw(1.2e9)
      x[length(x)] <- as.raw(i)
      c(length(x), as.integer(x[length(x)]))
    }, 1:2)
    answer(r)
  })
  expect_equal(out$value, list(c(1.2e9, 1), c(1.2e9, 2)))
})

test_that("results are the same where address space is limited", {
  skip_if_other_allocator()
  script <- tempfile(fileext = ".R")
  writeLines(c("library(sharedmem)", "f <- function(i) sum(as.numeric(seq_len(2e6)) + i)",
               "cat(identical(MapReduce(np = 2)$map(f, 1:4), lapply(1:4, f)))"), script)
  libs <- sprintf("R_LIBS=%s", shQuote(paste(.libPaths(), collapse = ":")))
  out <- system(sprintf("ulimit -v 6000000; %s exec %s --vanilla %s", libs, shQuote(file.path(R.home("bin"), "Rscript")), shQuote(script)),
                intern = TRUE)
  unlink(script)
  expect_identical(out, "TRUE")
})

test_that("long runs that are dropped give their memory back, here and in workers", {
  x <- copy(runif(2^19))
  held <- function(k) {
    before <- .Call(sharedmem:::ffi_private_bytes)
    for (i in seq_len(k)) x[seq_len(2^19)]
    (.Call(sharedmem:::ffi_private_bytes) - before) / 2^20
  }
  invisible(gc())
  expect_lt(held(500L), 400) # of 2000 MiB that were read
  expect_lt(max(unlist(MapReduce(np = 2)$map(function(i) held(500L), 1:2))), 400)
  kept <- lapply(1:20, function(i) x[i:2^19])
  expect_identical(vapply(kept, `[`, 0, 1L), x[1:20])
  expect_identical(unlist(MapReduce(np = 2)$map(function(i) sum(kept[[i]]), 1:20)), vapply(kept, sum, 0))
})
