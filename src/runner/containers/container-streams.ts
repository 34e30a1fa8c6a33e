import { execFile } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { type BindMount, bind } from './container-spec.ts'

const execute = promisify(execFile)

/** Lines with which the script in a container reports its progress. */
export type StreamMessage =
  | { type: 'began' }
  | { type: 'missing' }
  | { type: 'folder' }
  | { type: 'done'; code: number }
  /** Reported when its processes are gone. */
  | { type: 'gone' }
  /** Something other than the script has written. */
  | { type: 'garbled' }

/** Pipes through which a script reports, and learns that it may begin. */
const SCRIPT_PIPES = ['said', 'go']
/** Limit in bytes, more than a script ever writes. */
const MAX_MESSAGE_BYTES = 1024

/**
 * Gives a container the streams of this process. A file is mounted into it, so that output goes neither through the
 * engine nor through this process, and the end of either loses no byte. Anything else comes through a named pipe.
 */
export class ContainerStreams {
  /** Mounts of the files. */
  readonly mounts: readonly BindMount[]
  readonly #folder: string
  readonly #piped: readonly string[]
  /**
   * Ends of pipes that are held until the container has opened its own: otherwise earlier data would be lost, or a
   * reader would see an end.
   */
  #held: number[] = []
  #go: number | undefined
  #copies: Promise<unknown>[] = []

  constructor(folder: string) {
    this.#folder = folder
    const mounts: BindMount[] = []
    const piped: string[] = []
    for (const [fd, name] of ['stdin', 'stdout', 'stderr'].entries()) {
      const file = readlinkSync(`/proc/self/fd/${fd}`)
      const link = join(folder, name)
      if (file === '/dev/null') symlinkSync(file, link)
      else if (fd > 0 && fstatSync(fd).isFile() && fstatSync(fd).nlink > 0) {
        mounts.push(bind(file, `/run/errand-${name}`, false))
        symlinkSync(`/run/errand-${name}`, link)
      } else piped.push(name)
    }
    this.mounts = mounts
    this.#piped = piped
  }

  /** Creates the pipes. */
  async make(): Promise<void> {
    const names = [...SCRIPT_PIPES, ...this.#piped]
    await execute('mkfifo', ['-m', '600', ...names.map((name) => join(this.#folder, name))])
  }

  /**
   * Opens the pipes before the container starts: their data is copied from now on. `hear` gets each report of its
   * script.
   */
  open(receive: (message: StreamMessage) => void): void {
    const read = (name: string) => this.#open(name, constants.O_RDONLY)
    const write = (name: string) => this.#open(name, constants.O_WRONLY)
    const lines = reader(read('said'))
    this.#held.push(write('said'))
    // Held at both ends until the last moment: without it the script ends.
    this.#go = this.#open('go', constants.O_RDWR)
    let buffered = ''
    lines.on('data', (chunk: Buffer) => {
      const before = buffered.lastIndexOf('\n') + 1
      buffered += chunk.toString('latin1', 0, MAX_MESSAGE_BYTES)
      for (const line of buffered
        .slice(before, buffered.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1)) {
        receive(parseMessage(line))
        if (line === 'began') this.#letBegin()
      }
      if (buffered.length < MAX_MESSAGE_BYTES) return
      receive({ type: 'garbled' })
      lines.destroy()
    })
    lines.once('end', () => receive({ type: 'gone' }))
    if (this.#piped.includes('stdin')) {
      this.#held.push(read('stdin'), write('stdin'))
      const into = writer(write('stdin'))
      void copied(process.stdin, into).then(() => into.end())
    }
    for (const [name, fd] of [['stdout', 1] as const, ['stderr', 2] as const])
      if (this.#piped.includes(name)) {
        const from = reader(read(name))
        this.#held.push(write(name))
        const stat = fstatSync(fd)
        const into =
          stat.isFIFO() || stat.isSocket() ? writer(fd) : fd === 1 ? process.stdout : process.stderr
        this.#copies.push(copied(from, into))
      }
  }

  /** Resolves when all output is passed on, after the container is gone. */
  async drained(): Promise<void> {
    this.#closePipes()
    await Promise.all(this.#copies)
  }

  /**
   * Lets the waiting script begin, which has its pipes open. From now on nobody else can open them: not by name, and
   * not through `/proc` once they run; the folder is read-only inside, so their mode stays.
   */
  #letBegin(): void {
    this.#closePipes()
    try {
      for (const name of SCRIPT_PIPES) chmodSync(join(this.#folder, name), 0)
      writeSync(this.#go!, '\n')
    } catch {
      // Its folder is gone because it is being ended: it must not begin.
      closeSync(this.#go!)
    }
  }

  #closePipes(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd)
  }

  #open(name: string, mode: number): number {
    return openSync(join(this.#folder, name), mode | constants.O_NONBLOCK)
  }
}

const reader = (fd: number): Socket => new Socket({ fd, readable: true, writable: false })
const writer = (fd: number): Socket => new Socket({ fd, readable: false, writable: true })

/** Copies all data. If the target is closed, it closes the source too, so that the writer learns of it. */
async function copied(from: Readable, into: Writable): Promise<void> {
  const closed = new Promise<void>((resolve) => from.once('close', resolve).once('end', resolve))
  into.on('error', () => from.destroy())
  from.on('error', () => from.destroy())
  from.pipe(into, { end: false })
  await closed
  if (into.writable) await new Promise((resolve) => into.write('', resolve))
}

function parseMessage(line: string): StreamMessage {
  const [type, code] = line.split(' ')
  if (type === 'began' || type === 'missing' || type === 'folder') return { type }
  return type === 'done' && /^\d{1,3}$/.test(code ?? '') ? { type, code: Number(code) } : { type: 'garbled' }
}
