# Writes the section "Fuzzers" of bench/RELIABILITY.md from the results of tools/fuzz.sh, a line a target:
#   Rscript tools/fuzz-report.R .build/fuzz/results
source("tools/reliability.R")
r <- read.delim(commandArgs(TRUE)[1L], header = FALSE, col.names = c("target", "runs", "seconds", "coverage", "findings"))
r$target <- sprintf("`%s`", r$target)
row <- function(...) paste0("| ", paste(..., sep = " | "), " |")
table <- c(row("target", "runs", "seconds", "coverage", "findings"), row("---", "--:", "--:", "--:", "--:"),
           do.call(row, lapply(r, format, big.mark = ",", trim = TRUE)))
inputs <- length(list.files("tests/fuzz/corpus", recursive = TRUE))
write_section("Fuzzers", "make fuzz REPORT=1",
              c(table, "", sprintf("%s runs in %s seconds, %d findings; %d inputs are committed, which `make native` replays.",
                                   format(sum(r$runs), big.mark = ","), format(sum(r$seconds), big.mark = ","), sum(r$findings), inputs),
                "", "Found and mended so far:", "", readLines("tests/fuzz/FINDINGS.md")))
