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
  /** The program of a runner, and its arguments. */
  runner: readonly string[]
  /** Has a folder for each runner, and nothing else. */
  folder: string
  /** Without what a runner may not know. */
  env: Readonly<Record<string, string | undefined>>
  /** How long a runner may take to go when it is told to. Default 10,000. */
  graceMs?: number
  /** Time between checks of the shell beside each runner. Default 5. */
  lookSeconds?: number
}

/** Tells the process of a made runner from all others; the steps that it carries out do not get it. */
const MARK = 'ERRAND_MADE_RUNNER'
const LOG = 'runner.log'
/** In the folder of a runner whose process has ended: its exit code, or the signal that ended it. */
const ENDED = 'runner.ended'
const GRACE_MS = 10_000
const MAX_TOLD = 2_000
/** Number of log lines that the message about a killed process quotes. */
const KILLED_LINES = 3
const LOOK_SECONDS = 5
/**
 * Given the seconds of the runner, the folder, the grace, and how often to look: ends all that works in the folder but itself,
 * whatever has become of the hub, when the time is over, and when nothing of the runner was there for so many looks. The runner
 * holds the lock of its folder, and has 6 looks to end itself where the folder is gone; its hub has 24 to take away what one
 * leaves that has ended. Only the runner gets the SIGTERM.
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
[ "$left" -gt 0 ] || echo "The time of this runner is over." >&2
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
 * Makes runners as processes of the hub's machine, each with a folder of its own. They outlive the hub: a later one knows them by
 * a mark in their environment. Beside each a shell waits for its deadline, and for what ends before.
 */
export class ProcessProvisioner implements Provisioner {
  readonly #options: ProcessProvisionerOptions
  /** The processes that this hub started; nobody learns how others end. */
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
      // First, so that no runner is without.
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
        // For a later hub. Where the folder is gone, nobody asks.
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
        // It has ended, and this process hears how in a moment.
        if (child !== undefined && child.exitCode === null && child.signalCode === null)
          return { name, state: 'running' }
        const own = child && (child.signalCode ?? child.exitCode)
        const said = await lastText(join(folder, name, LOG), MAX_TOLD)
        const how = own ?? (await readFile(join(folder, name, ENDED), 'utf8').catch(() => ''))
        return { name, state: 'ended', message: endText(String(how), said) }
      }),
    )
  }

  async remove(name: string): Promise<void> {
    const folder = this.#folderOf(name)
    const isThere = (await stat(folder).catch(() => undefined)) !== undefined
    if (!isThere && processesMarked(`${MARK}=${name}\0`).length === 0) return
    const { graceMs = GRACE_MS } = this.#options
    // First the runner alone: a step that ended while its runner can still report would have ended by a signal, and is lost.
    const runner = () => processesMarked(`${MARK}=${name}\0`)
    const gone =
      (await endProcesses(runner, graceMs)) &&
      (await endTree({ mark: `${MARK}=${name}`, members: () => holdersOf(folder) }, 0))
    if (!gone) throw new ProvisionError('A process of it cannot be ended.')
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

/** Says how a process ended: `how` is its exit code, a signal, or empty where nobody knows. */
function endText(how: string, said: string): string {
  // The log of a killed process says little of the kill.
  const last = said.split('\n').slice(-KILLED_LINES).join('\n')
  if (how.startsWith('SIG')) return `Its process was ended by ${how}.${last && ` Its last output: ${last}`}`
  const end = how === '' ? 'Its process has ended' : `Its process ended with exit code ${how}`
  return said === '' ? `${end}.` : `${end}: ${said}`
}
