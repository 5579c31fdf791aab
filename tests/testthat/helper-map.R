# As expect_nothing_left(), but for the one mapping of control memory that is kept for the next map.
expect_map_clean <- function(before) {
  expect_nothing_left(before, setdiff(names(before), "mappings"))
  testthat::expect_lte(length(shared_mappings()), length(before$mappings) + 1L)
}
