import { createHash } from 'node:crypto';

/**
 * The launcher process: a bash main loop that forks a supervisor for every folder it reads, which forks the task.
 * It is a string so that a bundled agent carries it; the agent writes it into its data folder.
 *
 * Bash and not dash: bash gives each task a process group (`set -m`) and default signal handling without a terminal
 * and without executing `setsid`, which costs more than the larger fork (docs/decisions/0003-tasks-start-from-bash.md).
 *
 * Arguments: the root of the task folders, the launcher's own folder (both absolute), the version, and the folders in
 * which every task has a control group named after it. Descriptors of the main loop alone, closed in every supervisor: 3 the pipe of folders, 4 the pipe whose end tells the agent that the
 * main loop died, 9 the lock that keeps a second launcher out.
 *
 * Lines read: `>FOLDER` starts one, `quit` ends the loop. What remains of a line that a killed launcher had begun to
 * read has no `>`, and is skipped; the beginning that a killed agent left names no folder.
 * Notices written: `+ PID` the loop is up; `s PID START FOLDER` a task's process exists; `x CODE FOLDER` it ended;
 * `u FOLDER` it could not be claimed although nobody else has (disk full). A notice opens the pipe itself, for
 * reading and writing: it never waits for a reader, and without one it evaporates. The files are the truth.
 */
const SCRIPT = `# Starts the tasks of a Mesquite agent and outlives it. Written by the agent: changes are lost.

begin() {
  trap - INT QUIT TERM HUP
  # Fields 1 and 22 of proc(5) stat: together they name one process for as long as the machine runs.
  read -r pid _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/self/stat
  # The task alone, before anybody can know of it: its supervisor must outlive what ends the group.
  for group in "\${groups[@]}"; do
    echo 0 >"$group/t+\${1//\\//+}/cgroup.procs" || exit 125
  done
  echo "$pid $start $boot" >claimed || exit 125
  echo "s $pid $start $1" 1<>"$notices"
  # What bash itself remarks (a locale that is not installed) is not the task's output.
  . ./run 2>/dev/null
}

# Where nothing could be executed, bash has remarked on the line of run that was to do it. What it says of the program is
# kept, once: "nosuch: not found".
plainly() {
  local line said=
  while IFS= read -r line; do
    case $line in
      './run: line '[0-9]*': '?*) line=\${line#./run: line *: } line=\${line#exec: } ;;
      'setpriv: failed to execute '?*) line=\${line#setpriv: failed to execute } ;;
      *) return ;;
    esac
    said=\${said:-$line}
  done <stderr
  [ -z "$said" ] || echo "$said" >stderr
}

finish() {
  case $code in
    126 | 127) plainly 2>/dev/null ;;
  esac
  echo "$code" >exit
  echo "x $code $1" 1<>"$notices"
}

supervise() {
  cd "$root/$1" && [ -f run ] || return
  # With -C the file is opened O_EXCL: exactly one claim succeeds. It stays empty until the task's process exists.
  set -C
  if ! true 2>/dev/null >claimed; then
    [ -e claimed ] || echo "u $1" 1<>"$notices"
    return
  fi
  set +C
  # A supervisor must survive its task: the status is written even while the machine goes down.
  trap '' INT QUIT TERM HUP
  code=125
  trap 'finish "$1"' EXIT
  set -m
  begin "$1" &
  # Without job control bash hears of ends alone: a stopped task has not ended (docs/decisions/0015).
  set +m
  # Bash remarks on whom a signal ended: that is in the status.
  wait $! 2>/dev/null
  code=$?
}

main() {
  root=$1 notices=$2/notices version=$3
  cd "$2" || exit
  shift 3
  groups=("$@")
  # Tasks inherit nothing that this process was started with but the standard three; bash reads this script from $0.
  for fd in /proc/self/fd/*; do
    fd=\${fd##*/}
    [ "$fd" -le 2 ] || [ "/proc/self/fd/$fd" -ef "$0" ] || eval "exec $fd<&-"
  done
  exec 9>>lock && flock -w 10 9 || exit
  exec 3<>starts 4<>alive || exit
  read -r boot </proc/sys/kernel/random/boot_id
  export -n PWD OLDPWD SHLVL
  echo "$$ $version" >launcher.pid
  echo "+ $$" 1<>"$notices"
  while IFS= read -r line <&3; do
    case $line in
      '>'[A-Za-z0-9]*)
        supervise "\${line#?}" 3<&- 4<&- 9<&- &
        # Bash remembers how thousands of background jobs ended, and every fork pays for them.
        disown $!
        ;;
      quit) exit ;;
    esac
  done
}

main "$@"
exit
`;

/** The text that bash executes. */
export const LAUNCHER_SCRIPT = SCRIPT;

/**
 * Names the text and the folders of its control groups: an agent that would start another replaces the one that runs.
 */
export function launcherVersion(groups: readonly string[]): string {
  return createHash('sha256')
    .update([SCRIPT, ...groups].join('\0'))
    .digest('hex')
    .slice(0, 16);
}
