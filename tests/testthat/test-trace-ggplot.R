test_that("autoplot() gives a ggplot of a trace, of a pool, and says how to get a trace", {
  skip_if_not_installed("ggplot2")
  pool <- MapReduce(np = 2, trace = TRUE)
  expect_error(ggplot2::autoplot(pool), class = "sharedmem_misuse_error")
  pool$map(function(i) pool$critical(Sys.sleep(0.01)), 1:6)
  for (object in list(pool, pool$trace)) {
    p <- ggplot2::autoplot(object)
    expect_s3_class(p, "ggplot")
    built <- ggplot2::ggplot_build(p)
    expect_identical(nrow(built$data[[1]]), 6L)
    expect_true(all(built$data[[1]]$ymin > 0))
  }
})
