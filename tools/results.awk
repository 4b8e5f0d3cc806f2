# The tables of docs/results.md from the tables of crossmamba eval; file names are SET.LAYOUT.tsv.
function cell(set, layout, model, fold, metric,   k) {
  k = set SUBSEP layout SUBSEP model SUBSEP fold SUBSEP metric
  if (!(k in pooled)) return "-"
  return sprintf("%.3f [%.3f, %.3f]", pooled[k], low[k], high[k])
}
function spread(set, layout, model, fold, metric,   k) {
  k = set SUBSEP layout SUBSEP model SUBSEP fold SUBSEP metric
  if (!(k in pooled)) return "-"
  return sd[k] == "nan" ? sprintf("%.3f", mean[k]) : sprintf("%.3f ± %.3f", mean[k], sd[k])
}
function table(title, set, fold, first, second,   i, l, m, n) {
  n = units[set SUBSEP "crossmamba" SUBSEP fold]
  printf "\n### %s\n\n%d tested pairs, %d trainings per model and layout.\n\n", title, pairs[set SUBSEP fold], n
  printf "| model | layout | %s pooled [95 %%] | %s mean ± sd | %s pooled [95 %%] | %s mean ± sd |\n|---|---|---|---|---|---|\n", first, first, second, second
  for (m = 1; m <= n_models; m++)
    for (l = 1; l <= 2; l++) {
      if (names[m] == "id-only" && l == 2) continue
      printf "| %s | %s | %s | %s | %s | %s |\n", names[m], names[m] == "id-only" ? "no sequence" : shown[l],
        cell(set, layouts[l], names[m], fold, first), spread(set, layouts[l], names[m], fold, first),
        cell(set, layouts[l], names[m], fold, second), spread(set, layouts[l], names[m], fold, second)
    }
}
# One line of the summary: the mean of the metric over repeats of the pooled value.
function brief(set, layout, model, fold, metric,   k) {
  k = set SUBSEP layout SUBSEP model SUBSEP fold SUBSEP metric
  return (k in pooled) ? sprintf("%.3f", pooled[k]) : "-"
}
function summary(title, set, fold, metric, published,   m) {
  printf "| %s | %s | **%s** | **%s** |", title, metric, brief(set, "pooled", "crossmamba", fold, metric), brief(set, "windows4", "crossmamba", fold, metric)
  for (m = 2; m < n_models; m++) printf " %s / %s |", brief(set, "pooled", names[m], fold, metric), brief(set, "windows4", names[m], fold, metric)
  printf " %s | %s |\n", brief(set, "pooled", "id-only", fold, metric), published
}
BEGIN {
  FS = "\t"
  n_models = split("crossmamba mlp bilinear gated gated-static id-only", names, " ")
  split("pooled windows4", layouts, " ")
  split("pooled windows:4", shown, " ")
}
FNR == 1 { file = FILENAME; sub(/.*\//, "", file); split(file, part, "."); next }
{
  k = part[1] SUBSEP part[2] SUBSEP $1 SUBSEP $2 SUBSEP $3
  pooled[k] = $4; low[k] = $5; high[k] = $6; mean[k] = $7; sd[k] = $8
  pairs[part[1] SUBSEP $2] = $9; units[part[1] SUBSEP $1 SUBSEP $2] = $10
}
END {
  print "# Results, honest track\n"
  print "Made by `make results DATA=FOLDER` (datasets/README.md says where the sets come from). All networks have the same"
  print "settings, chosen on RPI2241, which is not in this table, and the same for every set: `" settings "`;"
  print "built-in encoders (k-mer spectra, Morgan fingerprint), no pretrained language model. Epoch, calibration and threshold"
  print "are chosen on an inner validation fold (10 % of the training pairs), never on a test fold. Of pairs with the same two"
  print "sequences only one is kept, so no exact duplicate straddles two folds (tables that keep them say so).\n"
  print "*Pooled* is over all out-of-fold predictions together, with a 95 % interval by bootstrap over molecules of both sides;"
  print "*mean ± sd* is over the trainings (folds, or three seeds where the split is given). `id-only` sees which molecule a"
  print "pair has and the training labels, but no sequence: a network that does not beat it has not shown that it reads"
  print "sequences. Random folds share molecules between training and test; they measure interpolation, not discovery."
  print "\n## Summary\n"
  print "Pooled values; control networks as pooled / windows:4. *Published* figures were reached with pretrained language models"
  print "and, where known, with the best epoch chosen on the test fold; they are not comparable with this track.\n"
  print "| set | metric | crossmamba pooled | crossmamba windows:4 | mlp | bilinear | gated | gated-static | id-only | published |"
  print "|---|---|---|---|---|---|---|---|---|---|"
  summary("RPI1460, random negatives", "rpi1460-random", "all", "MCC", ".892 CrossLLM-Mamba (negative set not named), .848 BioLLMNet")
  summary("RPI1460, Smith-Waterman negatives", "rpi1460-sw", "all", "MCC", "as above")
  summary("RPI1807, repeats removed", "rpi1807", "all", "MCC", "-")
  summary("RPI1807, as published", "rpi1807-repeats", "all", "MCC", ".978 BioLLMNet")
  summary("R-SIM, all", "rsim-all", "all", "Pearson", ".796 DeepMIF (5-fold)")
  n = split("Aptamers miRNA Repeats Ribosomal Riboswitch Viral_RNA", subsets, " ")
  for (i = 1; i <= n; i++)
    summary("R-SIM, " subsets[i], "rsim-" subsets[i], "all", "Pearson", (subsets[i] ~ /^R(epeats|iboswitch)$/) ? "> .95 CrossLLM-Mamba" : "-")
  split("ath gma mtr", species, " ")
  split("- .755 .796 .709 - .951 .678 .885 -", plant, " ")
  for (i = 1; i <= 3; i++)
    for (j = 1; j <= 3; j++)
      if (i != j) summary("plant, " species[i] " > " species[j], "plant-" species[i], species[j], "accuracy", plant[3 * (i - 1) + j] " (best of RNA-FM, RiNALMo, BiRNA-BERT, CORAIN)")
  summary("DAVIS", "davis", "all", "CI", "-")
  print "\n## RNA-protein"
  table("RPI1460, random negatives, 10-fold", "rpi1460-random", "all", "MCC", "AUROC")
  table("RPI1460, Smith-Waterman negatives, 10-fold", "rpi1460-sw", "all", "MCC", "AUROC")
  table("RPI1807, 5-fold", "rpi1807", "all", "MCC", "AUROC")
  table("RPI1807 with its repeated pairs (as published: most test pairs also train), 5-fold", "rpi1807-repeats", "all", "MCC", "AUROC")
  print "\n## RNA-small molecule"
  table("R-SIM, all pairs, 10-fold", "rsim-all", "all", "Pearson", "RMSE")
  n = split("Aptamers miRNA Repeats Ribosomal Riboswitch Viral_RNA", subsets, " ")
  for (i = 1; i <= n; i++) table("R-SIM, " subsets[i] ", own 10-fold", "rsim-" subsets[i], "all", "Pearson", "RMSE")
  print "\n## RNA-RNA"
  split("ath gma mtr", species, " ")
  for (i = 1; i <= 3; i++)
    for (j = 1; j <= 3; j++)
      if (i != j) table("Plant miRNA-lncRNA, trained on " species[i] ", tested on " species[j], "plant-" species[i], species[j], "accuracy", "AUROC")
  print "\n## Protein-small molecule"
  table("DAVIS, official test fold (repeated pairs kept: kinase variants share a sequence; at most 20 epochs, patience 5)", "davis", "all", "CI", "RMSE")
}
