test_that("locked, active and delayed bindings that func reaches are left as they are", {
  r <- run_script({
    score <- function(x) { s <- 0; for (v in x) s <- s + v^2; s }
    lockBinding("score", globalenv())
    forced <- 0
    delayedAssign("table_of_all", { forced <- forced + 1; stop("table server is down") })
    delayedAssign("loader", { forced <- forced + 1; function(i) i })
    makeActiveBinding("now", function() { forced <<- forced + 1; function() 1 }, globalenv())
    use <- function(i, full = FALSE) { if (full) loader(table_of_all[i]) + now(); score(seq_len(i)) }
    a <- MapReduce(np = 2)$map(use, 1:4)
    b <- MapReduce(np = 2)$map(function(i) use(i), 1:40)
    lockEnvironment(globalenv(), bindings = TRUE)
    c <- MapReduce(np = 2)$map(use, 1:4)
    answer(list(a, b[1:4], c, forced, bindingIsLocked("score", globalenv())))
  })
  expect_script_ok(r)
  want <- list(1, 5, 14, 30)
  expect_identical(r$value, list(want, want, want, 0, TRUE))
})

test_that("functions of the global environment that func reaches are compiled for workers, and the session's stay as they are", {
  r <- run_script({
    far <- function(x) { s <- 0; for (v in x) s <- s + v; s }
    near <- function(i) far(seq_len(i))
    is_compiled <- function(f) any(grepl("bytecode", utils::capture.output(print(f))))
    a <- MapReduce(np = 2)$map(function(i) { near(i); c(is_compiled(near), is_compiled(far)) }, 1:40)
    answer(list(all(unlist(a)), is_compiled(far)))
  }, env = c(R_ENABLE_JIT = "0"))
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, FALSE))
})
