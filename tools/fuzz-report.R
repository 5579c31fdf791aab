# Writes the section "Fuzzers" of bench/RELIABILITY.md from the results of tools/fuzz.sh, a line a target, added to what stands there:
#   Rscript tools/fuzz-report.R .build/fuzz/results
source("tools/reliability.R")
columns <- c("target", "runs", "seconds", "coverage", "findings")
sums <- c("runs", "seconds", "findings")
r <- read.delim(commandArgs(TRUE)[1L], header = FALSE, col.names = columns)
old <- grep("^\\| `[a-z]+` .*(edges|seed)", readLines(reliability_file), value = TRUE)
if (length(old)) {
  before <- setNames(read.table(text = gsub("[`,]", "", old), sep = "|", strip.white = TRUE)[2:6], columns)
  both <- intersect(r$target, before$target)
  r[match(both, r$target), sums] <- r[match(both, r$target), sums] + before[match(both, before$target), sums]
  r <- rbind(r, before[!before$target %in% both, ])
}
r <- r[order(grepl("seed", r$coverage), r$target), ]
r$target <- sprintf("`%s`", r$target)
row <- function(...) paste0("| ", paste(..., sep = " | "), " |")
table <- c(do.call(row, as.list(columns)), row("---", "--:", "--:", "--:", "--:"),
           do.call(row, lapply(r, format, big.mark = ",", trim = TRUE)))
inputs <- length(list.files("tests/fuzz/corpus", recursive = TRUE))
write_section("Fuzzers", "make fuzz REPORT=1",
              c(table, "", sprintf(paste("%s runs in %s seconds, all such runs since 2026-11-28 together (the coverage is the last",
                                         "one's), %d findings; %d inputs are committed, which `make native` replays (those of wire:",
                                         "its target)."),
                                   format(sum(r$runs), big.mark = ","), format(sum(r$seconds), big.mark = ","), sum(r$findings), inputs),
                "", "Found and mended so far:", "", readLines("tests/fuzz/FINDINGS.md")))
