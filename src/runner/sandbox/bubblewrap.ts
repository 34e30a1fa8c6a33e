import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import { listProcesses, parseStat, procText, signal } from '../../platform/proc.ts'
import type { Box, BoxPlaces } from './box.ts'
import { checkLaunch, type Launch } from './launch.ts'

/** What all boxes of a machine have in common. */
export interface BubblewrapMachine {
  /** The program. */
  path: string
  /** Folder of the files that stand in each box's /etc. */
  etc: string
  /** A filter of system calls, as bubblewrap reads it. */
  filter: string
  /** Whether it can keep the box from making user namespaces of its own. */
  disablesUserNamespaces: boolean
  /** What the operator lets into every box. */
  mounts: BoxPlaces
  /** Folders of the hub and the runner: never in a box, but for what it is given below them. */
  hidden: readonly string[]
}

/** Descriptors beyond those of the wrapper, in single digits as every shell takes them. */
const START = `
exec 5<"$1" 6<"$2" 7>"$3" || exit 126
box=$0
shift 3
exec "$box" --args 5 --seccomp 6 --json-status-fd 7 -- "$@"
`
const HOME = '/home/errand'
/** Most that /tmp, /dev/shm and the home of a box hold together is three times this, and all of it is memory. */
const TEMP_BYTES = 1024 ** 3
/** What of the machine's /etc stands in a box as it is: what programs need to be found and to trust servers. */
const ETC = [
  ...[
    'alternatives',
    'ca-certificates',
    'ca-certificates.conf',
    'crypto-policies',
    'debian_version',
    'ld.so.cache',
  ],
  ...['ld.so.conf', 'ld.so.conf.d', 'localtime', 'mime.types', 'os-release', 'pki', 'protocols', 'services'],
  ...['ssl/certs', 'ssl/openssl.cnf', 'timezone'],
]
/** Links into /usr where the machine has merged them, folders of their own where not. */
const TOP = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']
const UNKILLABLE_AFTER_MS = 10_000

/** A box by bubblewrap: namespaces of its own, without a daemon and without root. Its files stand in a folder of the attempt's. */
export class BubblewrapBox implements Box {
  readonly isolation = 'sandbox'
  readonly #machine: BubblewrapMachine
  readonly #folder: string

  constructor(machine: BubblewrapMachine, folder: string) {
    this.#machine = machine
    this.#folder = folder
  }

  async prepare(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  enclose(launch: Launch, places: BoxPlaces, name: string): Launch {
    const { path, filter, mounts } = this.#machine
    const program = checkLaunch(launch)
    const all = {
      writable: [...places.writable, ...mounts.writable],
      readable: [...places.readable, ...mounts.readable],
    }
    checkInside(program, all)
    const file = (kind: string) => join(this.#folder, `${kind}.${name}`)
    writeFileSync(file('args'), `${this.#arguments(launch.cwd, all).join('\0')}\0`, { mode: 0o600 })
    const home = launch.env.HOME ?? ''
    const env = {
      ...launch.env,
      HOME: isInside(home, all.writable) ? home : HOME,
      TMPDIR: '/tmp',
      USER: 'errand',
    }
    return {
      argv: [
        '/bin/sh',
        '-c',
        START,
        path,
        file('args'),
        filter,
        file('status'),
        program,
        ...launch.argv.slice(1),
      ],
      cwd: launch.cwd,
      env,
    }
  }

  members(): number[] {
    const first = new Set(this.#firstPids())
    if (first.size === 0) return []
    const all = listProcesses() ?? []
    const found = new Set(all.filter(({ pid }) => first.has(pid)).map(({ pid }) => pid))
    for (let before = -1; before !== found.size; ) {
      before = found.size
      for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
    }
    return [...found]
  }

  spares(pid: number): boolean {
    return procText(pid, 'comm')?.trim() === 'bwrap'
  }

  async end(): Promise<boolean> {
    const first = this.#firstPids()
    const until = performance.now() + UNKILLABLE_AFTER_MS
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 100)) {
      const left = first.filter(isFirst)
      for (const pid of left) signal(pid, 'SIGKILL')
      if (left.length === 0) return true
      if (performance.now() > until) return false
      await sleep(pauseMs)
    }
  }

  /** Pids, on this machine, of the first processes of what was enclosed: with each all of its namespace ends. */
  #firstPids(): number[] {
    return namesIn(this.#folder)
      .filter((name) => name.startsWith('status.'))
      .flatMap((name) => {
        const pid = /"child-pid": (\d+)/.exec(textOf(join(this.#folder, name)))?.[1]
        return pid === undefined ? [] : [Number(pid)]
      })
      .filter(isFirst)
  }

  #arguments(cwd: string, { writable, readable }: BoxPlaces): string[] {
    const { etc, disablesUserNamespaces, hidden } = this.#machine
    const size = ['--size', String(TEMP_BYTES)]
    const mounts: [path: string, arguments_: string[]][] = [
      ...readable.map((path): [string, string[]] => [path, ['--ro-bind', realPath(path, '/'), path]]),
      ...writable.map((path): [string, string[]] => [path, ['--bind', realPath(path, '/'), path]]),
      ...hidden
        .filter((path) => isInside(path, [...readable, ...writable]))
        .map((path): [string, string[]] => [path, ['--tmpfs', path]]),
    ]
    // What stands deeper comes later, and so upon what is around it.
    mounts.sort(([a], [b]) => a.split(sep).length - b.split(sep).length)
    return [
      ...['--unshare-all', '--unshare-user', ...(disablesUserNamespaces ? ['--disable-userns'] : [])],
      ...['--uid', '1000', '--gid', '1000', '--hostname', 'errand', '--cap-drop', 'ALL'],
      ...['--new-session', '--die-with-parent'],
      ...['--ro-bind', '/usr', '/usr', ...TOP.flatMap(topMount)],
      ...ETC.flatMap((name) =>
        existsSync(`/etc/${name}`) ? ['--ro-bind', `/etc/${name}`, `/etc/${name}`] : [],
      ),
      ...namesIn(etc).flatMap((name) => ['--ro-bind', join(etc, name), `/etc/${name}`]),
      ...['--proc', '/proc', '--dev', '/dev', ...size, '--tmpfs', '/dev/shm'],
      ...[
        ...size,
        '--tmpfs',
        '/tmp',
        '--dir',
        '/var',
        '--symlink',
        '../tmp',
        '/var/tmp',
        ...size,
        '--tmpfs',
        HOME,
      ],
      ...mounts.flatMap(([, each]) => each),
      ...['--remount-ro', '/', '--chdir', cwd],
    ]
  }
}

function topMount(name: string): string[] {
  const path = `/${name}`
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return []
  return stat.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path]
}

const isInside = (path: string, places: readonly string[]): boolean =>
  places.some((each) => isBelow(path, each))

/** Throws where the program does not stand in the box. */
function checkInside(program: string, { writable, readable }: BoxPlaces): void {
  const real = realPath(program, '/')
  const places = ['/usr', ...TOP.map((name) => `/${name}`), ...writable, ...readable]
  if (
    isInside(
      real,
      places.map((each) => realPath(each, '/')),
    ) &&
    isInside(program, places)
  )
    return
  throw new ErrandError('invalid_argument', `The program ${program} does not stand in the sandbox.`, {
    hint: `Let the runner mount its folder (ERRAND_SANDBOX_MOUNTS), or put the program below /usr or into the workspace.`,
  })
}

/** Whether that is the first process of a namespace, and alive: by then its number may be another's. */
const isFirst = (pid: number): boolean =>
  /^NSpid:\t.*\t1$/m.test(procText(pid, 'status') ?? '') &&
  parseStat(procText(pid, 'stat') ?? '') !== undefined

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
