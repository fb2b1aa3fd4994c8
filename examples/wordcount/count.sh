#!/bin/sh
# Counts the words of one file: "count word", a line each.
# Usage: count.sh FOLDER NAMES…; a name a line, and the task's index says which of them is its own.
folder=$1
shift
file=$(printf '%s\n' "$@" | sed -n "$((${MESQ_TASK_INDEX:-0} + 1))p")
LC_ALL=C exec awk '
  {
    line = tolower($0)
    gsub(/[^a-z]+/, " ", line)
    words = split(line, word, " ")
    for (at = 1; at <= words; at++) count[word[at]]++
  }
  END { for (one in count) print count[one], one }
' "$folder/$file"
