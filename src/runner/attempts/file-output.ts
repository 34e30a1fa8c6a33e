import { createHash } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  write as writeCallback,
} from 'node:fs'
import { copyFile, link, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { AttemptEnd, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { TailFile } from '../../platform/tail-file.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import type { OutputPart } from '../ports.ts'
import type { AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { ExportScanner } from './exported-variables.ts'
import { LastErrorLine } from './last-error-line.ts'
import type { AttemptOutput } from './measured-end.ts'
import { OutputOrder, orderLine } from './output-order.ts'
import { OutputValues } from './output-values.ts'
import { type Look, PLACE_BYTES, type SizeWatch, type SizeWatcher } from './size-watch.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

export interface FileOutputOptions {
  folder: AttemptFolder
  facts: AttemptFacts
  /** Undefined: nothing in it is hidden. */
  masker: Masker | undefined
  /** More of it may leave this machine. */
  onMore(): void
}

/** The two output files of a process, and what of them may leave this machine: as they grow, and at the end. */
export class FileOutput implements AttemptOutput {
  /** The files that the process writes. */
  readonly files: Readonly<Record<StreamName, TailFile>>
  readonly scanner: ExportScanner | undefined
  readonly values: OutputValues
  readonly #folder: AttemptFolder
  readonly #lastErrorLine = new LastErrorLine()
  readonly #masked: Partial<Record<StreamName, MaskedFile>> = {}
  readonly #onMore: () => void
  /** The order in which the files have grown; an earlier process of this runner may have seen some of it. */
  readonly #order = new OutputOrder()
  /** The same of what may leave this machine. */
  #sendable = this.#order
  /** How much of the order is in its file. */
  readonly #kept: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #reader: OrderedReader
  #watcher: SizeWatcher | undefined
  #hasGrown = false

  constructor({ folder, facts, masker, onMore }: FileOutputOptions) {
    const scanner = facts.export_vars ? new ExportScanner() : undefined
    const values = new OutputValues(facts.spec)
    this.#folder = folder
    this.#onMore = onMore
    this.scanner = scanner
    this.values = values
    const stdout = new TailFile(folder.file('stdout'))
    try {
      this.files = { stdout, stderr: new TailFile(folder.file('stderr')) }
    } catch (error) {
      stdout.close()
      throw error
    }
    if (masker) {
      this.#sendable = new OutputOrder()
      for (const stream of STREAMS)
        this.#masked[stream] = new MaskedFile(
          this.files[stream],
          folder.file(`${stream}.masked`),
          masker.stream(),
        )
    }
    this.#order.takeText(orderText(folder.file('order')), this.#sizes)
    this.#order.look({ ...this.#sizes, sure: true })
    this.#hasGrown = this.#order.count > 0
    this.#reader = new OrderedReader(this.files, this.#masked, this.#order, (stream, chunk, unordered) => {
      if (stream === 'stdout') scanner?.push(chunk)
      else this.#lastErrorLine.push(chunk)
      values.push(stream, chunk)
      if (!masker) return
      this.#sendable.extend(stream, chunk.length, unordered)
      onMore()
    })
  }

  /** Of what is read by now; after `finish`, of all. */
  get lastErrorLine(): string | undefined {
    return this.#lastErrorLine.text
  }

  /** Whether something of it stands for a secret. */
  get hidden(): boolean {
    return Object.values(this.#masked).some((masked) => !masked.isPlain)
  }

  /** From now on another process writes: its files are watched, as their order is in neither. */
  watch(sizes: SizeWatch): void {
    this.#watcher ??= sizes.watch(this.files, {
      onLooks: (looks) => this.#take(looks),
      onGone: () => {
        this.#watcher = undefined
      },
    })
  }

  /** Bytes that may leave this machine. */
  length(stream: StreamName): number {
    return this.#sendable.length(stream)
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return this.#sendable.next(known)
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await (this.#masked[stream] ?? this.files[stream]).read(offset, max)
  }

  /** The last of what it holds now, at most so many bytes. */
  async tail(stream: StreamName, mostBytes: number): Promise<Buffer> {
    this.refresh()
    if (this.#masked[stream]) await this.#reader.settled()
    const from = Math.max(0, this.length(stream) - mostBytes)
    return await this.read(stream, from, mostBytes)
  }

  /** True: a stream has grown. What is new is read in the background. */
  refresh(): boolean {
    // Looks of its own would be rarer than the watcher's, and come before them.
    if (!this.#watcher) this.#look()
    const hasGrown = this.#hasGrown
    this.#hasGrown = false
    // The first time there may be what an earlier process of this runner has left.
    if (hasGrown) this.#reader.advance()
    return hasGrown
  }

  /** Nothing more counts; the lengths are final. */
  freeze(): void {
    for (const stream of STREAMS) this.files[stream].freeze()
  }

  /** The output ended so in an earlier process of this runner. */
  found({ streams }: AttemptEnd, masked: boolean): void {
    const lengths = { stdout: streams?.stdout?.length ?? 0, stderr: streams?.stderr?.length ?? 0 }
    for (const stream of STREAMS) {
      const length = lengths[stream]
      const file = this.files[stream]
      if (masked)
        this.#masked[stream] = MaskedFile.finished(file, this.#folder.file(`${stream}.masked`), length)
      else file.freeze(length)
    }
    this.#sendable = new OutputOrder()
    this.#sendable.takeText(orderText(this.#folder.file(masked ? 'order.masked' : 'order')), lengths)
    this.#sendable.look({ ...lengths, sure: true })
  }

  async finish(): Promise<Record<StreamName, StreamEnd>> {
    await this.#watcher?.last()
    this.#unwatch()
    this.#look()
    const ends = await this.#reader.finish()
    this.#keepOrder(true)
    if (this.#sendable !== this.#order && !isOneStream(this.#sendable))
      keep(this.#folder.file('order.masked'), this.#sendable.toText())
    return ends
  }

  /** After `finish`. */
  async placeAt(stream: StreamName, target: string, copied?: true): Promise<void> {
    const masked = this.#masked[stream]
    // What it has left running may yet write into its own file, and of that nothing is masked.
    if (masked) return await masked.copyTo(target)
    const { path } = this.files[stream]
    const copy = () => copyFile(path, target, constants.COPYFILE_EXCL)
    await (copied ? copy() : link(path, target).catch(copy))
  }

  /** Its end is kept: takes away what may not leave this machine. */
  dropSecrets(): void {
    for (const masked of Object.values(this.#masked)) masked.dropSecrets()
  }

  close(): void {
    this.#unwatch()
    this.#reader.stop()
    for (const stream of STREAMS) {
      this.#masked[stream]?.close()
      this.files[stream].close()
    }
  }

  get #sizes(): Record<StreamName, number> {
    return { stdout: this.files.stdout.size, stderr: this.files.stderr.size }
  }

  #unwatch(): void {
    this.#watcher?.stop()
    this.#watcher = undefined
  }

  #look(): void {
    for (const stream of STREAMS) this.files[stream].refresh()
    this.#take([{ ...this.#sizes, sure: true }])
  }

  #take(looks: readonly Look[]): void {
    for (const stream of STREAMS) this.files[stream].refresh()
    const { stdout, stderr } = this.#sizes
    const before = this.#order.length('stdout') + this.#order.length('stderr')
    for (const look of looks)
      this.#order.look({
        stdout: Math.min(look.stdout, stdout),
        stderr: Math.min(look.stderr, stderr),
        sure: look.sure,
      })
    if (this.#order.length('stdout') + this.#order.length('stderr') === before) return
    this.#hasGrown = true
    this.#reader.advance()
    this.#keepOrder(false)
    if (this.#watcher) this.#onMore()
  }

  /**
   * Keeps the order for a later process of this runner: with `all` to the end, else what is too much for one that looks at
   * the lengths alone.
   */
  #keepOrder(all: boolean): void {
    const grown = STREAMS.some((stream) => this.#order.length(stream) - this.#kept[stream] > PLACE_BYTES / 2)
    // The order of a single stream is its own.
    if (all ? isOneStream(this.#order) : !grown) return
    let text = ''
    for (;;) {
      const part = this.#order.next(this.#kept)
      if (!part) break
      const { stream, offset, length, unordered } = part
      const end = offset + length
      // The last one may grow.
      if (!all && this.#order.next({ ...this.#kept, [stream]: end }) === undefined) break
      text += orderLine(stream, end, unordered)
      this.#kept[stream] = end
    }
    if (text !== '') keep(this.#folder.file('order'), text)
  }
}

const isOneStream = (order: OutputOrder): boolean => STREAMS.some((stream) => order.length(stream) === 0)

/** Reads a saved order; empty if there is none, and then the lengths give the order. */
function orderText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Appends to a file. A full disk costs only the order after a restart. */
function keep(path: string, text: string): void {
  try {
    appendFileSync(path, text, { mode: 0o600 })
  } catch {}
}

const CHUNK_BYTES = 256 * 1024

/** Reads two growing files once, in their common order, while they grow: to mask them, for their SHA-256, and for `onBytes`. */
class OrderedReader {
  readonly #files: Readonly<Record<StreamName, TailFile>>
  readonly #masked: Partial<Record<StreamName, MaskedFile>>
  readonly #order: OutputOrder
  readonly #onBytes: (stream: StreamName, chunk: Buffer, unordered: boolean) => void
  readonly #done = { stdout: 0, stderr: 0 }
  readonly #made = {
    stdout: { hash: createHash('sha256'), length: 0 },
    stderr: { hash: createHash('sha256'), length: 0 },
  }
  #running: Promise<void> | undefined
  #stopped = false

  /** Of a stream that is masked, the SHA-256 and `onBytes` are of what that makes of it. */
  constructor(
    files: Readonly<Record<StreamName, TailFile>>,
    masked: Partial<Record<StreamName, MaskedFile>>,
    order: OutputOrder,
    onBytes: (stream: StreamName, chunk: Buffer, unordered: boolean) => void,
  ) {
    this.#files = files
    this.#masked = masked
    this.#order = order
    this.#onBytes = onBytes
  }

  /** There is more to read. An error is kept for `finish`. */
  advance(): void {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
    })
    this.#running.catch(() => undefined)
  }

  /** Resolves when what is under way is read. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined)
  }

  /** The files are frozen: reads the rest. Rejects where a file cannot be read to its size. */
  async finish(): Promise<Record<StreamName, StreamEnd>> {
    await this.#running
    await this.#read()
    for (const stream of STREAMS) {
      const masked = this.#masked[stream]
      if (masked) this.#take(stream, await masked.end(), false)
    }
    const { stdout, stderr } = this.#made
    const end = ({ hash, length }: typeof stdout) => ({ length, sha256: hash.digest('hex') })
    return { stdout: end(stdout), stderr: end(stderr) }
  }

  stop(): void {
    this.#stopped = true
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      const part = this.#order.next(this.#done)
      if (!part) return
      const { stream, offset, length, unordered } = part
      const file = this.#files[stream]
      const chunk = await file.read(offset, Math.min(length, CHUNK_BYTES))
      if (chunk.length === 0) throw new Error(`${file.path} is shorter than it was`)
      this.#done[stream] += chunk.length
      const masked = this.#masked[stream]
      this.#take(stream, masked ? await masked.push(chunk) : chunk, unordered === true)
    }
  }

  #take(stream: StreamName, chunk: Buffer, unordered: boolean): void {
    const made = this.#made[stream]
    made.hash.update(chunk)
    made.length += chunk.length
    this.#onBytes(stream, chunk, unordered)
  }
}

const writeAsync = promisify(writeCallback)
const COPY_BYTES = 1024 * 1024

/**
 * The part of a file that may leave this machine: up to the first secret the file itself, from there on a
 * second one beside it. So output without a secret is written once. All is made again from the first byte
 * after a restart.
 */
class MaskedFile {
  readonly #raw: TailFile
  readonly #path: string
  readonly #stream: StreamMasker | undefined
  /** So much of the file itself. */
  #plain = 0
  #second: TailFile | undefined
  #broken: unknown

  constructor(raw: TailFile, path: string, stream?: StreamMasker) {
    this.#raw = raw
    this.#path = path
    this.#stream = stream
  }

  /** One that was finished, of which so many bytes count. */
  static finished(raw: TailFile, path: string, length: number): MaskedFile {
    const file = new MaskedFile(raw, path)
    if (existsSync(path)) {
      file.#second = new TailFile(path)
      file.#second.freeze(Math.min(file.#second.size, length))
    }
    file.#plain = length - (file.#second?.size ?? 0)
    raw.freeze(file.#plain)
    return file
  }

  get length(): number {
    return this.#plain + (this.#second?.size ?? 0)
  }

  /** The next bytes of the file itself, in order, one call at a time; answers what they became. */
  async push(bytes: Buffer): Promise<Buffer> {
    return await this.#keep(this.#stream!.push(bytes))
  }

  /** Nothing follows. */
  async end(): Promise<Buffer> {
    return await this.#keep(this.#stream!.end())
  }

  async read(offset: number, max: number): Promise<Buffer> {
    const plainBytes = Math.max(0, Math.min(max, this.#plain - offset))
    const plain = await this.#raw.read(offset, plainBytes)
    if (!this.#second || plainBytes === max) return plain
    const rest = await this.#second.read(offset + plainBytes - this.#plain, max - plainBytes)
    return plainBytes === 0 ? rest : Buffer.concat([plain, rest])
  }

  /** Whether the file itself is all that may leave this machine. */
  get isPlain(): boolean {
    return this.#second === undefined
  }

  async copyTo(target: string): Promise<void> {
    const file = await open(target, 'wx')
    try {
      for (let at = 0; at < this.length; ) {
        const bytes = await this.read(at, COPY_BYTES)
        if (bytes.length === 0) throw new Error(`${this.#path} is shorter than it was`)
        await file.appendFile(bytes)
        at += bytes.length
      }
    } finally {
      await file.close()
    }
  }

  /** At the end: takes away what may not leave this machine. */
  dropSecrets(): void {
    const { path } = this.#raw
    try {
      if (statSync(path).size > this.#plain) truncateSync(path, this.#plain)
    } catch {
      // It goes with its folder.
    }
  }

  close(): void {
    this.#second?.close()
  }

  async #keep(masked: Buffer): Promise<Buffer> {
    if (this.#broken !== undefined) throw this.#broken
    if (!this.#stream!.hidden) {
      this.#plain += masked.length
      return masked
    }
    try {
      this.#second ??= emptyFile(this.#path)
      for (let at = 0; at < masked.length; )
        at += (await writeAsync(this.#second.fd, masked, at)).bytesWritten
    } catch (error) {
      // The bytes are through the masker, and cannot be put through it again.
      this.#broken = error
      throw error
    }
    this.#second.refresh()
    return masked
  }
}

function emptyFile(path: string): TailFile {
  closeSync(openSync(path, 'w', 0o600))
  return new TailFile(path)
}
