import { copyFile, link } from 'node:fs/promises'
import type { AttemptEnd, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { TailFile } from '../../platform/tail-file.ts'
import type { Masker } from '../masking/masker.ts'
import type { AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { ExportScanner } from './export-scanner.ts'
import { MaskedFile } from './masked-file.ts'
import type { AttemptOutput } from './measured-end.ts'
import { OutputValues } from './output-values.ts'
import { StreamDigest } from './stream-digest.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

export interface ProcessOutputOptions {
  folder: AttemptFolder
  facts: AttemptFacts
  /** Undefined: nothing in it is hidden. */
  masker: Masker | undefined
  /** More of it may leave this machine. */
  onMore(): void
}

/** The two output files of a process, and what of them may leave this machine: as they grow, and at the end. */
export class ProcessOutput implements AttemptOutput {
  /** What the process writes. */
  readonly files: Readonly<Record<StreamName, TailFile>>
  readonly scanner: ExportScanner | undefined
  readonly values: OutputValues
  readonly #folder: AttemptFolder
  readonly #masked: Partial<Record<StreamName, MaskedFile>> = {}
  /** How long they were when it was last looked; an earlier process of this runner may have left some. */
  readonly #known: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #digests: Readonly<Record<StreamName, StreamDigest>>

  constructor({ folder, facts, masker, onMore }: ProcessOutputOptions) {
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
      values.push(stream, chunk)
      if (masker) onMore()
    }
    const digest = (stream: StreamName) =>
      new StreamDigest(this.files[stream], this.#masked[stream], (chunk) => taken(stream, chunk))
    this.#digests = { stdout: digest('stdout'), stderr: digest('stderr') }
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

  /** It ended so in an earlier process of this runner. */
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

  /** After `finish`. The file must not be there. */
  async placeAt(stream: StreamName, target: string): Promise<void> {
    const masked = this.#masked[stream]
    // What it has left running may yet write into its own file, and of that nothing is masked.
    if (masked) return await masked.copyTo(target)
    const { path } = this.files[stream]
    await link(path, target).catch(() => copyFile(path, target))
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
