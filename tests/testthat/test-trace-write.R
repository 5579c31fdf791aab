read_json <- function(file) {
  skip_if_not_installed("jsonlite")
  jsonlite::fromJSON(file, simplifyVector = FALSE)
}

test_that("a trace is written as complete events, one thread a worker, in microseconds", {
  trace <- synthetic_examples(4)$lock
  file <- tempfile(fileext = ".json")
  on.exit(unlink(file))
  expect_identical(withVisible(write_trace(trace, file)), list(value = file, visible = FALSE))
  json <- read_json(file)
  kind <- vapply(json$traceEvents, `[[`, "", "ph")
  x <- json$traceEvents[kind == "X"]
  e <- as.data.frame(trace)
  expect_identical(length(x), nrow(e))
  expect_identical(vapply(x, `[[`, 1L, "tid"), e$rank)
  expect_equal(vapply(x, function(v) as.numeric(v$ts), 1), e$start * 1e6, tolerance = 1e-6)
  expect_equal(vapply(x, function(v) as.numeric(v$dur), 1), (e$end - e$start) * 1e6, tolerance = 1e-6)
  expect_identical(vapply(x, `[[`, "", "cat"), as.character(e$kind))
  names <- json$traceEvents[kind == "M" & vapply(json$traceEvents, function(v) v$name == "thread_name", NA)]
  expect_identical(vapply(names, function(v) v$args$name, ""), paste("worker", 0:3))
  expect_identical(json$otherData$workers, 4L)
  trace$hosts <- c("a", "a", "b", "b \"2\"")
  write_trace(trace, file)
  names <- Filter(function(v) v$name == "thread_name", read_json(file)$traceEvents)
  expect_identical(vapply(names, function(v) v$args$name, ""), paste("worker", 0:3, "on", trace$hosts))
})

test_that("names of items are escaped, whatever is in them", {
  odd <- c("plain", "quote \" and \\ slash", "line\nbreak\ttab\r\b\f\001", "\u00e4\u20ac\U1F600", "\u2028", "")
  trace <- synthetic_trace(1, rep(0.01, length(odd)), names = odd)
  file <- tempfile(fileext = ".json")
  on.exit(unlink(file))
  write_trace(trace, file)
  json <- read_json(file)
  items <- Filter(function(v) identical(v$cat, "item"), json$traceEvents)
  expect_identical(vapply(items, `[[`, "", "name"), c(odd[1:5], "item 6"))
})

test_that("bytes that are no text do not spoil the file", {
  bad <- "caf\xe9"
  Encoding(bad) <- "UTF-8"
  out <- sharedmem:::json_string(bad)
  expect_true(validUTF8(out))
  expect_match(out, "^\"caf.+\"$")
})

test_that("the text of every string is one JSON string", {
  set.seed(1)
  random <- replicate(200, intToUtf8(sample(c(1:0x2ff, 0x2020:0x2030), 12)))
  out <- sharedmem:::json_string(random)
  skip_if_not_installed("jsonlite")
  expect_identical(unlist(jsonlite::fromJSON(paste0("[", paste(out, collapse = ","), "]"))), random)
})

test_that("long traces are written whole", {
  n <- 120001
  trace <- sharedmem:::new_trace(raw_trace(rep(0, n), rep("item", n), seq_len(n), seq_len(n) / 1e6, seq_len(n) / 1e6, 1, 1), n)
  file <- tempfile(fileext = ".json")
  on.exit(unlink(file))
  write_trace(trace, file)
  lines <- readLines(file)
  expect_identical(sum(startsWith(lines, "{\"ph\": \"X\"")), as.integer(n))
  expect_false(any(grepl("},$", lines[length(lines) - 2L])))
  expect_true(all(grepl(",$", lines[startsWith(lines, "{\"ph\": \"X\"")][-n])))
})

test_that("anything but a trace and a path is an error", {
  expect_error(write_trace(1, tempfile()), class = "sharedmem_argument_error")
  expect_error(write_trace(synthetic_trace(1, 0.01), 1), class = "sharedmem_argument_error")
  expect_error(write_trace(synthetic_trace(1, 0.01), file.path(tempdir(), "no", "such", "directory")), class = "sharedmem_file_error")
})

test_that("a file that is no path, or none at all, is an argument error", {
  pool <- MapReduce(np = 0, trace = TRUE)
  pool$map(sqrt, 1:3)
  for (file in list("", NA_character_, character(), 1, NULL)) 
    expect_error(write_trace(pool$trace, file), class = "sharedmem_argument_error")
})

test_that("a pool stands for its trace", {
  pool <- MapReduce(np = 1, trace = TRUE)
  pool$map(identity, 1:3)
  expect_identical(as.data.frame(pool), as.data.frame(pool$trace))
  files <- c(tempfile(), tempfile())
  write_trace(pool, files[1])
  write_trace(pool$trace, files[2])
  expect_identical(readLines(files[1]), readLines(files[2]))
  expect_error(write_trace(MapReduce(np = 1), files[1]), class = "sharedmem_misuse_error")
})
