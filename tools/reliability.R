# Sourced by the programs that write to bench/RELIABILITY.md: each has a section, and leaves those of others as they are.
# write_section("Soak", "make soak", lines): the section becomes what this run found.
reliability_file <- "bench/RELIABILITY.md"
write_section <- function(title, command, lines, file = reliability_file) {
  text <- if (file.exists(file)) readLines(file) else c("# Reliability", "")
  head <- sprintf("## %s", title)
  about <- sprintf("Written by `%s`: %s, %d cores, sharedmem %s, %s.", command, R.version.string, sharedmem::cpu_count(),
                   packageVersion("sharedmem"), format(Sys.Date()))
  section <- c(head, "", about, "", lines, "")
  from <- match(head, text)
  if (is.na(from)) {
    text <- c(text, if (nzchar(text[length(text)])) "", section)
  } else {
    later <- grep("^## ", text)
    to <- min(later[later > from], length(text) + 1)
    text <- c(text[seq_len(from - 1)], section, text[seq_len(length(text) - to + 1) + to - 1])
  }
  while (length(text) && !nzchar(text[length(text)])) text <- text[-length(text)]
  writeLines(text, file)
}
