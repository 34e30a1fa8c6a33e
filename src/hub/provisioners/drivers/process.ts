import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { endProcesses, endTree, type GroupOptions, spawnGroup } from '../../../platform/child-tree.ts'
import { holdersOf, processesMarked, signal } from '../../../platform/proc.ts'
import { lastText } from '../last-text.ts'
import { type FoundRunner, ProvisionError, type Provisioner, type ProvisionNeed } from '../provisioner.ts'

export interface ProcessProvisionerOptions {
  /** Program of a runner, with its arguments. */
  runner: readonly string[]
  /** Folder that has one subfolder for each runner and nothing else. */
  folder: string
  /** Environment of the runners, without what they must not know. */
  env: Readonly<Record<string, string | undefined>>
  /** Milliseconds that a runner has to exit when it is told to. Default 10,000. */
  graceMs?: number
  /** Seconds between the checks of the shell that watches each runner. Default 5. */
  lookSeconds?: number
}

/** Variable that marks the process of a provisioned runner. The steps that the runner runs do not get it. */
const MARK = 'ERRAND_MADE_RUNNER'
const LOG = 'runner.log'
/** File in the folder of a runner whose process has ended. It contains the exit code, or the signal that ended it. */
const ENDED = 'runner.ended'
const GRACE_MS = 10_000
const MAX_REPORTED_CHARACTERS = 2_000
/** Number of log lines that the message about a killed process quotes. */
const KILLED_LINES = 3
const LOOK_SECONDS = 5
/**
 * Shell script that watches one runner, whatever happens to the hub. Its arguments are the seconds of the runner, the
 * folder, the grace and the seconds between checks. When the time is over, or when nothing of the runner was there
 * for several checks, it ends everything that works in the folder, except itself. The runner holds the lock of its
 * folder. If the folder is gone, the runner has 6 checks to end itself. If the runner has ended, the hub has 24
 * checks to remove what is left. Only the runner gets SIGTERM.
 */
const WATCH = `left=$1 runner= gone=0
while [ "$left" -gt 0 ]; do
  sleep $((left < $4 ? left : $4)) || exit
  left=$((left - $4))
  { read -r lock <"$2/lock"; } 2>/dev/null
  case $lock in *'"pid":'*) runner=\${lock#*'"pid":'} runner=\${runner%%[!0-9]*} ;; esac
  lock= lives=
  [ -z "$runner" ] || { kill -0 "$runner" && lives=yes; }
  most=6
  if [ -d "$2" ]; then
    [ "$runner" ] && [ -z "$lives" ] || { gone=0; continue; }
    most=24
  elif [ -z "$lives" ]; then break
  fi
  gone=$((gone + 1))
  [ $gone -le $most ] || break
done 2>/dev/null
[ "$left" -gt 0 ] || echo "The time limit of this runner was reached." >&2
for signal in TERM KILL KILL; do
  found=
  for each in /proc/[0-9]*; do
    pid=\${each#/proc/}
    [ "$pid" != $$ ] || continue
    case "$(readlink "$each/cwd")" in "$2"|"$2 (deleted)"|"$2"/*) ;; *) continue ;; esac
    found=yes
    [ $signal = KILL ] || tr '\\0' '\\n' <"$each/environ" | grep -q "^${MARK}=" || continue
    kill -$signal "$pid"
  done 2>/dev/null
  [ "$found" ] || exit
  sleep "$3"
done`

/**
 * Makes runners as processes of the hub's machine, each with its own folder. They outlive the hub; a later hub
 * recognizes them by a mark in their environment. Next to each, a shell waits for its deadline or for its earlier
 * end.
 */
export class ProcessProvisioner implements Provisioner {
  readonly #options: ProcessProvisionerOptions
  /** Processes that this hub started. Nobody learns how others end. */
  readonly #children = new Map<string, ChildProcess>()

  constructor(options: ProcessProvisionerOptions) {
    this.#options = options
  }

  async provision({ name, env, deadlineMs }: ProvisionNeed): Promise<void> {
    if (processesMarked(`${MARK}=${name}\0`).length > 0) return
    const { runner, env: base, graceMs = GRACE_MS, lookSeconds = LOOK_SECONDS } = this.#options
    const folder = this.#folderOf(name)
    const seconds = Math.max(1, Math.ceil((deadlineMs - Date.now()) / 1000))
    let log: number | undefined
    let watch: ChildProcess | undefined
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      log = openSync(join(folder, LOG), 'a', 0o600)
      const options: GroupOptions = { cwd: folder, stdio: ['ignore', log, log] }
      // Started first, so that no runner is without a watcher.
      watch = spawnGroup(
        [
          'sh',
          '-c',
          WATCH,
          'errand-made',
          String(seconds),
          folder,
          String(graceMs / 1000),
          String(lookSeconds),
        ],
        {
          ...options,
          env: { PATH: base.PATH },
        },
      )
      await once(watch, 'spawn')
      watch.unref()
      const child = spawnGroup(runner, {
        ...options,
        env: { ...base, ...env, WORKSPACE_DIR: folder, [MARK]: name },
      })
      await once(child, 'spawn')
      child.unref()
      this.#children.set(name, child)
      child.once('exit', (code, signal) => {
        // Written for a later hub. If the folder is gone, nobody needs it.
        writeFile(join(folder, ENDED), String(signal ?? code)).catch(() => {})
      })
    } catch (cause) {
      if (watch?.pid !== undefined) signal(-watch.pid, 'SIGKILL')
      throw new ProvisionError(`The runner could not be started: ${(cause as Error).message}.`, { cause })
    } finally {
      if (log !== undefined) closeSync(log)
    }
  }

  async find(): Promise<FoundRunner[]> {
    const { folder } = this.#options
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw new ProvisionError(`${folder} cannot be read: ${error.message}.`, { cause: error })
    })
    return Promise.all(
      names.map(async (name): Promise<FoundRunner> => {
        if (processesMarked(`${MARK}=${name}\0`).length > 0) return { name, state: 'running' }
        const child = this.#children.get(name)
        // It has ended, and this process will learn in a moment how.
        if (child !== undefined && child.exitCode === null && child.signalCode === null)
          return { name, state: 'running' }
        const own = child && (child.signalCode ?? child.exitCode)
        const text = await lastText(join(folder, name, LOG), MAX_REPORTED_CHARACTERS)
        const how = own ?? (await readFile(join(folder, name, ENDED), 'utf8').catch(() => ''))
        return { name, state: 'ended', message: endText(String(how), text) }
      }),
    )
  }

  async remove(name: string): Promise<void> {
    const folder = this.#folderOf(name)
    const isThere = (await stat(folder).catch(() => undefined)) !== undefined
    if (!isThere && processesMarked(`${MARK}=${name}\0`).length === 0) return
    const { graceMs = GRACE_MS } = this.#options
    // First only the runner. A step that ends while its runner can still report it would count as ended by a signal
    // instead of lost.
    const runner = () => processesMarked(`${MARK}=${name}\0`)
    const gone =
      (await endProcesses(runner, graceMs)) &&
      (await endTree({ mark: `${MARK}=${name}`, members: () => holdersOf(folder) }, 0))
    if (!gone) throw new ProvisionError('A process of the runner cannot be ended.')
    try {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    } catch (cause) {
      throw new ProvisionError(`Its folder cannot be removed: ${(cause as Error).message}.`, { cause })
    }
    this.#children.delete(name)
  }

  #folderOf(name: string): string {
    return join(this.#options.folder, name)
  }
}

/** Describes how a process ended. `how` is its exit code, a signal, or empty if unknown. */
function endText(how: string, text: string): string {
  // The log of a killed process says little about the kill.
  const last = text.split('\n').slice(-KILLED_LINES).join('\n')
  if (how.startsWith('SIG')) return `Its process was ended by ${how}.${last && ` Its last output: ${last}`}`
  const end = how === '' ? 'Its process has ended' : `Its process ended with exit code ${how}`
  return text === '' ? `${end}.` : `${end}: ${text}`
}
