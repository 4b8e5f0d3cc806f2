# docs/results.md from sets.tsv, runs.tsv, targets.tsv and the tables of crossmamba eval (files SET@COLUMN@MODELS.tsv; run.sh).
function file_key(set, column,   name) {
  name = set "@" column
  gsub(/[ ]/, "_", name)
  gsub(/[,:]/, "", name)
  return name
}
# The columns of a set: those of runs.tsv; one that tests several given folds by themselves becomes one for each.
function add_columns(set, column, key,   n, i, of, name) {
  n = split(folds[key], of, SUBSEP)
  for (i = 1; i <= n; i++) {
    name = column
    if (of[i] != "all") sub(/^trained on [^,]*/, train_fold[key] " > " of[i], name)
    columns[set, ++n_columns[set]] = name
    source[set, name] = key SUBSEP of[i]
  }
}
function at(set, column, model, metric) { return source[set, column] SUBSEP model SUBSEP metric }
function cell(k) { return !(k in pooled) ? "-" : low[k] == "nan" ? sprintf("%.3f", pooled[k]) : sprintf("%.3f [%.3f, %.3f]", pooled[k], low[k], high[k]) }
function spread(k) { return !(k in pooled) ? "-" : sd[k] == "nan" ? sprintf("%.3f", mean[k]) : sprintf("%.3f ± %.3f", mean[k], sd[k]) }
function plain(k) { return !(k in pooled) ? "-" : sprintf("%.3f", pooled[k]) }
function covered(k) { return !(k in coverage) || coverage[k] == "nan" ? "-" : sprintf("%.2f", coverage[k]) }
function show(form, k) { return form == "cell" ? cell(k) : form == "spread" ? spread(k) : form == "covered" ? covered(k) : plain(k) }
function any_of(set, model, metric, form, variants,   c, name) {
  for (c = 1; c <= n_columns[set]; c++) {
    name = columns[set, c]
    if ((name ~ /,/) == variants && show(form, at(set, name, model, metric)) != "-") return 1
  }
  return 0
}
# One table: models by columns, those of the plain splits or those of the variants (after a comma).
function table(set, metric, form, caption, variants,   c, m, n, line, rule) {
  for (c = 1; c <= n_columns[set]; c++) if ((columns[set, c] ~ /,/) == variants) {
    line = line " " columns[set, c] " |"
    rule = rule "---|"
    n++
  }
  if (!n) return
  printf "\n%s\n\n| model |%s\n|---|%s\n", caption, line, rule
  for (m = 1; m <= n_models; m++) {
    if (!any_of(set, models[m], metric, form, variants)) continue
    printf "| %s |", models[m]
    for (c = 1; c <= n_columns[set]; c++)
      if ((columns[set, c] ~ /,/) == variants) printf " %s |", show(form, at(set, columns[set, c], models[m], metric))
    printf "\n"
  }
}
function section(set,   c, name, k, v, binary) {
  if (!n_columns[set]) return
  printf "\n## %s\n\n", title[set]
  for (c = 1; c <= n_columns[set]; c++) {
    name = columns[set, c]
    k = source[set, name]
    if (name !~ /,/) printf("%s%s: %d tested pairs, %d trainings", (c > 1 ? "; " : ""), name, pairs[k], units[k])
  }
  printf ".\n"
  for (v = 0; v < 2; v++) {
    table(set, first[set], "cell", "**" first[set] "**, pooled with 95 % interval", v)
    table(set, first[set], "spread", first[set] ", mean ± standard deviation over trainings", v)
    table(set, second[set], "plain", second[set] ", pooled", v)
  }
  binary = first[set] == "MCC" || first[set] == "accuracy"
  if (binary) table(set, "ECE", "plain", "Expected calibration error, calibrated on the inner fold", 0)
  table(set, first[set], "covered", "Coverage of the 90 % conformal " (binary ? "sets" : "intervals"), 0)
}
function value(set, column, model, metric,   k) {
  k = at(set, column, model, metric == "MSE" ? "RMSE" : metric)
  if (sub(/ mean$/, "", metric)) return ((k = at(set, column, model, metric)) in pooled) ? mean[k] : ""
  if (!(k in pooled)) return ""
  return metric == "MSE" ? pooled[k] * pooled[k] : pooled[k]
}
function better(metric, x, bound) { return metric ~ /MSE/ ? x <= bound : x >= bound }
function controls(set,   c, name, m, k, line, seen) {
  for (c = 1; c <= n_columns[set]; c++) {
    name = columns[set, c]
    if (name ~ /,/ || name ~ /new|dissimilar/) continue
    line = "| " title[set] ", " name " |"
    seen = 0
    for (m = 1; m <= n_controls; m++) {
      k = at(set, name, control[m], first[set])
      if ((k in pooled) && difference[k] != "nan") {
        seen = 1
        line = line sprintf(" %s%.3f [%.3f, %.3f] |", difference_high[k] < 0 ? "**" : "", -difference[k], -difference_high[k], -difference_low[k])
        if (difference_high[k] < 0) sub(/ \|$/, "** |", line)
      } else line = line " - |"
    }
    if (seen) print line
  }
}
BEGIN {
  FS = "\t"
  n_models = split("crossmamba mlp bilinear gated gated-static kernel trees boosting mean:kernel/boosting mean:crossmamba/kernel/boosting neighbour composition length id-only kernel+memory neighbour+memory presence", models, " ")
  n_controls = split("mlp bilinear gated gated-static kernel boosting mean:crossmamba/kernel/boosting", control, " ")
}
/^#/ { next }
FILENAME ~ /sets\.tsv$/ { sets[++n_sets] = $1; title[$1] = $2; first[$1] = $3; second[$1] = $4; next }
FILENAME ~ /runs\.tsv$/ { run_set[++n_runs] = $1; run_column[n_runs] = $2; if (match($4, /--train-fold [^ ]*/)) train_fold[file_key($1, $2)] = substr($4, RSTART + 13, RLENGTH - 13); next }
FILENAME ~ /targets\.tsv$/ { target[++n_targets] = $0; next }
FNR == 1 { file = FILENAME; sub(/.*\//, "", file); sub(/@[a-z]+\.tsv$/, "", file); next }
{
  if (!((file, $2) in known)) { known[file, $2] = 1; folds[file] = folds[file] (file in folds && folds[file] != "" ? SUBSEP : "") $2 }
  k = file SUBSEP $2 SUBSEP $1 SUBSEP $3
  pooled[k] = $4; low[k] = $5; high[k] = $6; mean[k] = $7; sd[k] = $8
  pairs[file, $2] = $9; units[file, $2] = $10
  difference[k] = $13; difference_low[k] = $14; difference_high[k] = $15; coverage[k] = $17
}
END {
  for (i = 1; i <= n_runs; i++) if (file_key(run_set[i], run_column[i]) in folds && !((run_set[i], run_column[i]) in added)) {
    added[run_set[i], run_column[i]] = 1
    add_columns(run_set[i], run_column[i], file_key(run_set[i], run_column[i]))
  }
  while ((getline line < "tools/results/head.md") > 0) { gsub(/SETTINGS/, settings, line); print line }
  print "\n## Against the targets\n"
  print "| set and split | model | metric | measured | needed | aim | | published |\n|---|---|---|---|---|---|---|---|"
  for (i = 1; i <= n_targets; i++) {
    split(target[i], t, "\t")
    v = value(t[2], t[3], t[4], t[5])
    verdict = v == "" ? "not measured" : !better(t[5], v, t[6]) ? "**missed**" : t[7] == "-" || !better(t[5], v, t[7]) ? "reached" : "aim reached"
    printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", t[1], t[4], t[5], v == "" ? "-" : sprintf("%.3f", v), t[6], t[7], verdict, t[8])
  }
  print "\n## Crossmamba against its controls and other models\n"
  print "Crossmamba minus the other, paired over the same folds, with 95 % interval; bold: the interval is above zero.\n"
  print "| set | mlp | bilinear | gated | gated-static | kernel | boosting | mean:crossmamba/kernel/boosting |\n|---|---|---|---|---|---|---|---|"
  for (s = 1; s <= n_sets; s++) controls(sets[s])
  for (s = 1; s <= n_sets; s++) section(sets[s])
}
