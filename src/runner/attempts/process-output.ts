import type { AttemptSpec, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { TailFile } from '../../platform/tail-file.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import { ExportScanner } from './export-scanner.ts'
import { OutputValues } from './output-values.ts'
import { StreamDigest } from './stream-digest.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** The two output files of a process: their length as they grow, and at the end what they hold. */
export class ProcessOutput {
  readonly files: Readonly<Record<StreamName, TailFile>>
  readonly scanner: ExportScanner | undefined
  readonly values: OutputValues
  readonly #digests: Readonly<Record<StreamName, StreamDigest>>

  constructor(folder: AttemptFolder, spec: AttemptSpec, exportVars: boolean) {
    const scanner = exportVars ? new ExportScanner() : undefined
    const values = new OutputValues(spec)
    this.scanner = scanner
    this.values = values
    this.files = { stdout: new TailFile(folder.file('stdout')), stderr: new TailFile(folder.file('stderr')) }
    this.#digests = {
      stdout: new StreamDigest(this.files.stdout, (chunk) => {
        scanner?.push(chunk)
        values.push('stdout', chunk)
      }),
      stderr: new StreamDigest(this.files.stderr, (chunk) => values.push('stderr', chunk)),
    }
  }

  /** True: a stream has grown. What is new is read in the background. */
  refresh(): boolean {
    const grown = STREAMS.filter((stream) => this.files[stream].refresh())
    for (const stream of grown) this.#digests[stream].advance()
    return grown.length > 0
  }

  /** Nothing more counts; the lengths are final. */
  freeze(): void {
    for (const stream of STREAMS) this.files[stream].freeze()
  }

  async finish(): Promise<Record<StreamName, StreamEnd>> {
    return { stdout: await this.#digests.stdout.finish(), stderr: await this.#digests.stderr.finish() }
  }

  close(): void {
    for (const stream of STREAMS) {
      this.#digests[stream].stop()
      this.files[stream].close()
    }
  }
}
