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
  /** Masker of the output; undefined if nothing in it is hidden. */
  masker: Masker | undefined
  /** Called when more of it may leave this machine. */
  onMore(): void
}

/**
 * Manages the two output files of a process, and what may leave this machine of them while they grow and at the end.
 */
export class FileOutput implements AttemptOutput {
  /** Files that the process writes. */
  readonly files: Readonly<Record<StreamName, TailFile>>
  readonly scanner: ExportScanner | undefined
  readonly values: OutputValues
  readonly #folder: AttemptFolder
  readonly #lastErrorLine = new LastErrorLine()
  readonly #masked: Partial<Record<StreamName, MaskedFile>> = {}
  readonly #onMore: () => void
  /** Order in which the files have grown; an earlier process of this runner may have seen some of it. */
  readonly #order = new OutputOrder()
  /** Order of the bytes that may leave this machine. */
  #sendable = this.#order
  /** Lengths of the order that are already in its file. */
  readonly #stored: Record<StreamName, number> = { stdout: 0, stderr: 0 }
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

  /** Last error line of what was read so far; after `finish`, of all output. */
  get lastErrorLine(): string | undefined {
    return this.#lastErrorLine.text
  }

  /** Tells whether any of it replaces a secret. */
  get hidden(): boolean {
    return Object.values(this.#masked).some((masked) => !masked.isPlain)
  }

  /** Watches the files from now on, since another process writes them and they do not record their common order. */
  watch(sizes: SizeWatch): void {
    this.#watcher ??= sizes.watch(this.files, {
      onSizes: (sizes) => this.#take(sizes),
      onGone: () => {
        this.#watcher = undefined
      },
    })
  }

  /** Returns the number of bytes that may leave this machine. */
  length(stream: StreamName): number {
    return this.#sendable.length(stream)
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return this.#sendable.next(known)
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await (this.#masked[stream] ?? this.files[stream]).read(offset, max)
  }

  /** Reads the end of what it holds now, at most `mostBytes`. */
  async tail(stream: StreamName, mostBytes: number): Promise<Buffer> {
    this.refresh()
    if (this.#masked[stream]) await this.#reader.settled()
    const from = Math.max(0, this.length(stream) - mostBytes)
    return await this.read(stream, from, mostBytes)
  }

  /** Reports whether a stream has grown. New bytes are read in the background. */
  refresh(): boolean {
    // Checks here would be rarer than the watcher's, and come before them.
    if (!this.#watcher) this.#look()
    const hasGrown = this.#hasGrown
    this.#hasGrown = false
    // The first time, an earlier process of this runner may have left something.
    if (hasGrown) this.#reader.advance()
    return hasGrown
  }

  /** Stops counting; the lengths are final. */
  freeze(): void {
    for (const stream of STREAMS) this.files[stream].freeze()
  }

  /** Restores how the output ended in an earlier process of this runner. */
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

  /** Puts a file or a copy at `target`; call it after `finish`. */
  async placeAt(stream: StreamName, target: string, copied?: true): Promise<void> {
    const masked = this.#masked[stream]
    // A process left running may still write into its own file, and nothing of that is masked.
    if (masked) return await masked.copyTo(target)
    const { path } = this.files[stream]
    const copy = () => copyFile(path, target, constants.COPYFILE_EXCL)
    await (copied ? copy() : link(path, target).catch(copy))
  }

  /** Deletes what may not leave this machine, once the end is stored. */
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

  #take(sizes: readonly Look[]): void {
    for (const stream of STREAMS) this.files[stream].refresh()
    const { stdout, stderr } = this.#sizes
    const before = this.#order.length('stdout') + this.#order.length('stderr')
    for (const look of sizes)
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
   * Stores the order for a later process of this runner. With `all` it stores the order to the end, otherwise only what
   * a process that compares lengths alone could not reconstruct.
   */
  #keepOrder(all: boolean): void {
    const grown = STREAMS.some(
      (stream) => this.#order.length(stream) - this.#stored[stream] > PLACE_BYTES / 2,
    )
    // The order of a single stream follows from the stream itself.
    if (all ? isOneStream(this.#order) : !grown) return
    let text = ''
    for (;;) {
      const part = this.#order.next(this.#stored)
      if (!part) break
      const { stream, offset, length, unordered } = part
      const end = offset + length
      // The last part may still grow.
      if (!all && this.#order.next({ ...this.#stored, [stream]: end }) === undefined) break
      text += orderLine(stream, end, unordered)
      this.#stored[stream] = end
    }
    if (text !== '') keep(this.#folder.file('order'), text)
  }
}

const isOneStream = (order: OutputOrder): boolean => STREAMS.some((stream) => order.length(stream) === 0)

/** Reads a saved order; returns an empty text if there is none, and then the lengths give the order. */
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

/**
 * Reads two growing files once, in their common order, to mask them, hash them (SHA-256) and pass them to `onBytes`.
 */
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

  /** If a stream is masked, its SHA-256 and `onBytes` use the masked bytes. */
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

  /** Reads on in the background. `finish` reports an error. */
  advance(): void {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
    })
    this.#running.catch(() => undefined)
  }

  /** Resolves when the current read is done. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined)
  }

  /** Reads the rest of the frozen files. Rejects if a file cannot be read to its size. */
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
 * Stores the part of a file that may leave this machine: the file itself up to its first secret, and from there a
 * second file beside it. So output without a secret is written once. After a restart, masking starts again at the first
 * byte.
 */
class MaskedFile {
  readonly #raw: TailFile
  readonly #path: string
  readonly #stream: StreamMasker | undefined
  /** Length in bytes of the part of the file itself that may leave. */
  #plain = 0
  #second: TailFile | undefined
  #broken: unknown

  constructor(raw: TailFile, path: string, stream?: StreamMasker) {
    this.#raw = raw
    this.#path = path
    this.#stream = stream
  }

  /** Opens a finished file, of which `length` bytes count. */
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

  /** Masks the next bytes of the file, in order, one call at a time; returns the masked bytes. */
  async push(bytes: Buffer): Promise<Buffer> {
    return await this.#keep(this.#stream!.push(bytes))
  }

  /** Ends the stream, since no bytes follow. */
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

  /** Tells whether the file itself is all that may leave this machine. */
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

  /** Deletes what may not leave this machine, at the end. */
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
      // The bytes have passed the masker, and cannot pass it again.
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
