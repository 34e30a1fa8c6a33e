import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  statSync,
  truncateSync,
  write as writeCallback,
} from 'node:fs'
import { copyFile, link, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { AttemptEnd, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { TailFile } from '../../platform/tail-file.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import type { AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { ExportScanner } from './exported-variables.ts'
import { LastErrorLine } from './last-error-line.ts'
import type { AttemptOutput } from './measured-end.ts'
import { OutputValues } from './output-values.ts'

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
  /** How long they were when it was last looked; an earlier process of this runner may have left some. */
  readonly #known: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #digests: Readonly<Record<StreamName, StreamDigest>>

  constructor({ folder, facts, masker, onMore }: FileOutputOptions) {
    const scanner = facts.export_vars ? new ExportScanner() : undefined
    const values = new OutputValues(facts.spec)
    this.#folder = folder
    this.scanner = scanner
    this.values = values
    const stdout = new TailFile(folder.file('stdout'))
    try {
      this.files = { stdout, stderr: new TailFile(folder.file('stderr')) }
    } catch (error) {
      stdout.close()
      throw error
    }
    if (masker)
      for (const stream of STREAMS)
        this.#masked[stream] = new MaskedFile(
          this.files[stream],
          folder.file(`${stream}.masked`),
          masker.stream(),
        )
    const taken = (stream: StreamName, chunk: Buffer) => {
      if (stream === 'stdout') scanner?.push(chunk)
      else this.#lastErrorLine.push(chunk)
      values.push(stream, chunk)
      if (masker) onMore()
    }
    const digest = (stream: StreamName) =>
      new StreamDigest(this.files[stream], this.#masked[stream], (chunk) => taken(stream, chunk))
    this.#digests = { stdout: digest('stdout'), stderr: digest('stderr') }
  }

  /** Of what is read by now; after `finish`, of all. */
  get lastErrorLine(): string | undefined {
    return this.#lastErrorLine.text
  }

  /** Whether something of it stands for a secret. */
  get hidden(): boolean {
    return Object.values(this.#masked).some((masked) => !masked.isPlain)
  }

  /** Bytes that may leave this machine. */
  length(stream: StreamName): number {
    return this.#masked[stream]?.length ?? this.files[stream].size
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await (this.#masked[stream] ?? this.files[stream]).read(offset, max)
  }

  /** The last of what it holds now, at most so many bytes. */
  async tail(stream: StreamName, mostBytes: number): Promise<Buffer> {
    this.refresh()
    if (this.#masked[stream]) await this.#digests[stream].settled()
    const from = Math.max(0, this.length(stream) - mostBytes)
    return await this.read(stream, from, mostBytes)
  }

  /** True: a stream has grown. What is new is read in the background. */
  refresh(): boolean {
    const grown = STREAMS.filter((stream) => {
      this.files[stream].refresh()
      return this.files[stream].size > this.#known[stream]
    })
    for (const stream of grown) {
      this.#known[stream] = this.files[stream].size
      this.#digests[stream].advance()
    }
    return grown.length > 0
  }

  /** Nothing more counts; the lengths are final. */
  freeze(): void {
    for (const stream of STREAMS) this.files[stream].freeze()
  }

  /** The output ended so in an earlier process of this runner. */
  found({ streams }: AttemptEnd, masked: boolean): void {
    for (const stream of STREAMS) {
      const length = streams?.[stream]?.length ?? 0
      const file = this.files[stream]
      if (masked)
        this.#masked[stream] = MaskedFile.finished(file, this.#folder.file(`${stream}.masked`), length)
      else file.freeze(length)
    }
  }

  async finish(): Promise<Record<StreamName, StreamEnd>> {
    return { stdout: await this.#digests.stdout.finish(), stderr: await this.#digests.stderr.finish() }
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
    for (const stream of STREAMS) {
      this.#digests[stream].stop()
      this.#masked[stream]?.close()
      this.files[stream].close()
    }
  }
}

const CHUNK_BYTES = 256 * 1024

/** Reads a growing file once, in order, while it grows: to mask it, for its SHA-256, and for `onBytes`. */
class StreamDigest {
  readonly #file: TailFile
  readonly #masked: MaskedFile | undefined
  readonly #onBytes: (chunk: Buffer) => void
  readonly #hash = createHash('sha256')
  #done = 0
  #length = 0
  #running: Promise<void> | undefined
  #stopped = false

  /** With `masked`, the SHA-256 and `onBytes` are of what that makes of it. */
  constructor(file: TailFile, masked: MaskedFile | undefined, onBytes: (chunk: Buffer) => void) {
    this.#file = file
    this.#masked = masked
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

  /** The file is frozen: reads the rest. Rejects where the file cannot be read to its size. */
  async finish(): Promise<StreamEnd> {
    await this.#running
    await this.#read()
    if (this.#masked) this.#take(await this.#masked.end())
    return { length: this.#length, sha256: this.#hash.digest('hex') }
  }

  stop(): void {
    this.#stopped = true
  }

  async #read(): Promise<void> {
    while (this.#done < this.#file.size && !this.#stopped) {
      const chunk = await this.#file.read(this.#done, CHUNK_BYTES)
      if (chunk.length === 0) throw new Error(`${this.#file.path} is shorter than it was`)
      this.#done += chunk.length
      this.#take(this.#masked ? await this.#masked.push(chunk) : chunk)
    }
  }

  #take(chunk: Buffer): void {
    this.#hash.update(chunk)
    this.#length += chunk.length
    this.#onBytes(chunk)
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
