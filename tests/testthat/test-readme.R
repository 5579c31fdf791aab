# Blocks ```r of a file, each as lines of code and the output that its lines #> promise.
readme_blocks <- function(path) {
  lines <- readLines(path)
  from <- which(lines == "```r")
  to <- vapply(from, function(i) i + which(lines[-seq_len(i)] == "```")[1L], 0)
  Map(function(a, b) {
    block <- lines[seq.int(a + 1, b - 1)]
    said <- startsWith(block, "#>")
    list(code = block[!said], output = sub("^#> ?", "", block[said]))
  }, from, to)
}

test_that("README's code runs, and prints what README says", {
  path <- file.path("..", "..", "README.md")
  skip_if_not(file.exists(path), "not in a checkout")
  blocks <- readme_blocks(path)
  expect_gt(length(blocks), 5L)
  r <- run_script({
    env <- new.env(parent = globalenv())
    answer(lapply(blocks, function(block) {
      needed <- sub("library\\(|::", "", unlist(regmatches(block$code, gregexpr("library\\(\\w+|\\w+::", block$code))))
      there <- function(p) requireNamespace(p, quietly = TRUE) && (p != "mirai" || packageVersion(p) >= "2.7.0")
      if (!all(vapply(needed, there, NA))) return(NULL)
      printed <- utils::capture.output(suppressPackageStartupMessages(
        source(textConnection(block$code), env, echo = FALSE, print.eval = TRUE, spaced = FALSE)))
      sub("\\s+$", "", printed)
    }))
  }, vars = list(blocks = blocks), timeout = 120)
  expect_identical(r$status, 0L, info = paste(r$stderr, collapse = "\n"))
  for (k in seq_along(blocks)) if (!is.null(r$value[[k]]))
    expect_identical(r$value[[k]], sub("\\s+$", "", blocks[[k]]$output), info = paste(blocks[[k]]$code, collapse = "\n"))
})
