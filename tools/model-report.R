# Writes the section "Models" of bench/RELIABILITY.md from the rows of tools/model.sh, all cases of one run:
#   Rscript tools/model-report.R .build/model/rows
source("tools/reliability.R")
fields <- strsplit(readLines(commandArgs(TRUE)[1L]), " ")
r <- as.data.frame(do.call(rbind, lapply(fields, function(f) c(f[1:7], paste(f[-(1:7)], collapse = " ")))))
names(r) <- c("verdict", "case", "expected", "search", "states", "depth", "seconds", "numbers")
numbers <- function(text) format(as.numeric(text), big.mark = ",", scientific = FALSE, trim = TRUE)
whole <- r$expected == "holds" & r$search != "bits"
part <- r$expected == "holds" & r$search == "bits"
row <- function(...) paste0("| ", paste(..., sep = " | "), " |")
shown <- r[whole | part, ]
table <- c(row("case", "numbers", "search", "states", "seconds", "verdict"), row("---", "---", "---", "--:", "--:", "---"),
           row(sprintf("`%s`", shown$case), gsub("-D", "", shown$numbers), shown$search, numbers(shown$states), numbers(shown$seconds),
               ifelse(shown$verdict == "passed", "holds", "FAILS")))
found <- r[r$expected == "found", ]
write_section("Models", "make model REPORT=1",
              c("Every order of steps of the queue's and the arena's processes, a death between any two of them (`tools/model/`; the",
                "invariants are in ARCHITECTURE.md). exact: all states were visited. live: the same, and every fair run ends. bits: a",
                "search in a random order that its time ends, for what is too large: it shows that no fault was met.", "", table, "",
                sprintf("%d of %d faults that are built in on purpose were found, which shows that the models can fail: %s.",
                        sum(found$verdict == "passed"), nrow(found), toString(sprintf("`%s`", found$case)))))
