#' Write a trace for a trace viewer
#'
#' Writes a trace as a file in the Chrome trace event format, which Perfetto, Speedscope and Chromium's tracing page open: one
#' thread a worker, one complete ("X") event an event of the trace, times in microseconds since the map's start.
#'
#' @param trace A trace, of class `sharedmem_trace`: `pool$trace`, or the pool itself.
#' @param file Character: path of the file to write.
#' @return `file`, invisibly. An error of class `sharedmem_argument_error` for anything but a trace and a path,
#'   `sharedmem_file_error` if the file cannot be written.
#' @source "Trace Event Format", JSON object form. No counterpart in the Python package.
#' @seealso [sharedmem_trace]
#' @examples
#' pool <- MapReduce(np = 2, trace = TRUE)
#' r <- pool$map(function(i) Sys.sleep(0.01), 1:4)
#' file <- tempfile(fileext = ".json")
#' write_trace(pool$trace, file)
#' readLines(file, n = 3)
#' unlink(file)
#' @export
write_trace <- function(trace, file) {
  if (inherits(trace, "sharedmem_pool")) trace <- trace$trace
  if (inherits(trace, "sharedmem_no_trace")) abort_no_trace(trace)
  if (!inherits(trace, "sharedmem_trace"))
    abort_argument("trace", describe_value(trace), "a trace", advice = "pool$trace of a pool made by MapReduce(trace = TRUE)")
  check_path(file)
  replace_file(trace_text(trace), file, raw(), 1L)
  invisible(file)
}

# The whole file as raw bytes: a connection of R's tells nobody of a full disk.
trace_text <- function(trace) {
  bytes <- function(lines) charToRaw(paste0(enc2utf8(lines), "\n", collapse = ""))
  n <- nrow(trace$events)
  records <- lapply(seq.int(1, by = 50000L, length.out = ceiling(n / 50000)), function(from) {
    to <- min(n, from + 49999L)
    bytes(paste0(trace_records(trace, from:to), ifelse(from:to < n, ",", "")))
  })
  head <- c("{", "\"displayTimeUnit\": \"ms\",", sprintf("\"otherData\": %s,", trace_other(trace)), "\"traceEvents\": [",
            paste0(paste(trace_metadata(trace), collapse = ",\n"), if (n) ","))
  unlist(c(list(bytes(head)), records, list(bytes(c("]", "}")))))
}

trace_metadata <- function(trace) {
  ranks <- seq_len(trace$np) - 1L
  c(sprintf("{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, \"args\": {\"name\": %s}}", json_string(trace_title(trace))),
    sprintf("{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": 1, \"tid\": %d, \"args\": {\"name\": %s}}", ranks,
            vapply(paste0("worker ", ranks, if (!is.null(trace$hosts)) paste0(" on ", trace$hosts)), json_string, "")),
    sprintf("{\"ph\": \"M\", \"name\": \"thread_sort_index\", \"pid\": 1, \"tid\": %d, \"args\": {\"sort_index\": %d}}", ranks, ranks))
}

trace_other <- function(trace) {
  sprintf("{\"items\": %.0f, \"workers\": %d, \"elapsed_us\": %.3f, \"begin\": %s, \"events_dropped\": %.0f}", trace$nitems,
          trace$np, trace$elapsed * 1e6, json_string(format(trace$begin, "%Y-%m-%dT%H:%M:%OS3Z", tz = "UTC")), events_dropped(trace))
}

trace_records <- function(trace, rows) {
  e <- trace$events[rows, ]
  kind <- as.character(e$kind)
  item <- ifelse(is.na(e$item), "null", sprintf("%.0f", as.numeric(e$item)))
  label <- ifelse(kind == "item", paste("item", item), sub("_", " ", kind))
  if (!is.null(trace$names)) {
    name <- trace$names[e$item]
    named <- kind %in% "item" & !is.na(name) & name != ""
    label[named] <- name[named]
  }
  sprintf("{\"ph\": \"X\", \"name\": %s, \"cat\": %s, \"pid\": 1, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f, \"args\": {\"item\": %s}}",
          json_string(label), json_string(kind), e$rank, e$start * 1e6, (e$end - e$start) * 1e6, item)
}

# Character vector as JSON strings, UTF-8; bytes that are no text become replacement characters.
json_string <- function(x) {
  x <- enc2utf8(as.character(x))
  bad <- !validUTF8(x)
  if (any(bad)) x[bad] <- iconv(x[bad], "UTF-8", "UTF-8", sub = "\uFFFD")
  x <- gsub("\\", "\\\\", x, fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  special <- grepl("[[:cntrl:]\u2028\u2029]", x)
  if (any(special)) x[special] <- vapply(x[special], escape_controls, "", USE.NAMES = FALSE)
  paste0("\"", x, "\"")
}

escape_controls <- function(s) {
  code <- utf8ToInt(s)
  one <- vapply(code, intToUtf8, "")
  hit <- code < 32L | (code >= 127L & code < 160L) | code %in% c(0x2028L, 0x2029L)
  one[hit] <- sprintf("\\u%04x", code[hit])
  paste(one, collapse = "")
}
